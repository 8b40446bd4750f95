/**
 * Runs other libraries beside the client through the same cells and writes their first messages to
 * docs/PROXIES.md: `node peers.js [id…]`; with ids it prints only. Cells whose gateway speaks TLS
 * itself are left out, and those where nobody gets through at first.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { alone, cells, each, missing, RESULTS, rights } from "./lib/cells.js";
import { write } from "./lib/document.js";
import { PEERS } from "./peers/peers.js";

/** ms after which a library in a cell is ended. */
const RUN_MS = 150_000;
/** ms within which a first message is called soon. */
const SOON_MS = 1000;

const ids = Object.keys(PEERS);
const ms = ({ firstMs, error }) => (error ? "did not run" : (firstMs ?? "**never**"));
const shown = (result) => (result.transport ? `${ms(result)} (${result.transport})` : ms(result));

/** Of the cells that ran: how many libraries got through at all, and soon; and the slowest. */
function summary(results) {
  const ran = [...results.values()].filter((result) => ids.every((id) => !result[id].error));
  const all = (id) => ran.map((result) => result[id].firstMs);
  const count = (holds) => ids.map((id) => `${all(id).filter(holds).length} of ${ran.length}`);
  const slowest = (id) => Math.max(0, ...all(id).filter((first) => first !== null));
  return [
    ["*connects*", "", ...count((first) => first !== null)],
    ["*within 1 s*", "", ...count((first) => first !== null && first <= SOON_MS)],
    ["*slowest that connects*", "", ...ids.map(slowest)],
  ];
}

async function main() {
  const names = process.argv.slice(2);
  const chosen = cells(names).filter(
    (cell) => !cell.tls && !cell.switch && missing(cell).length === 0,
  );
  const first = rights();
  if (!first) throw new Error("networks of their own cannot be had here");
  mkdirSync(RESULTS, { recursive: true });
  const line = (columns) => `| ${columns.join(" | ")} |`;
  const header = [
    line(["cell", "class", ...ids.map((id) => PEERS[id].name)]),
    line(["---", "---", ...ids.map(() => "--:")]),
  ];
  for (const text of header) console.log(text);
  const results = new Map();
  const rows = new Map();
  await each([...chosen], async (cell) => {
    const result = {};
    for (const id of ids) result[id] = await alone(first, "peer.js", [cell.id, id], RUN_MS);
    writeFileSync(`${RESULTS}/peers-${cell.id}.json`, JSON.stringify(result, null, 1));
    results.set(cell.id, result);
    rows.set(cell.id, line([cell.id, cell.class, ...ids.map((id) => shown(result[id]))]));
    console.log(rows.get(cell.id));
    for (const id of ids) if (result[id].error) console.error(`${id}: ${result[id].error}`);
  });
  const end = summary(results).map(line);
  for (const text of end) console.log(text);
  if (names.length === 0) {
    write("peers", [...header, ...chosen.map(({ id }) => rows.get(id)), ...end]);
  }
}

await main();
