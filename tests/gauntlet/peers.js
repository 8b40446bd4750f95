/**
 * Runs other libraries beside the client through the same cells, a few of each class, and writes
 * their first messages to docs/PROXIES.md: `node peers.js [id…]`; with ids it prints only. Cells
 * whose gateway speaks TLS itself are left out, and those where nobody gets through at first.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { alone, cells, each, missing, RESULTS, rights } from "./lib/cells.js";
import { write } from "./lib/document.js";
import { PEERS } from "./peers/peers.js";

/** A few cells of each class. */
const CHOSEN = `
  direct stock-squid stock-apache stock-tinyproxy ws-502
  ws-hang ws-drop ws-silent-drop ws-tarpit ws-frames-dropped ws-s2c-dropped ws-ext-stripped ws-rst
  stock-nginx privoxy-443 stock-e2guardian by-size-refused
  stock-lighttpd events-only post-only varnish-store
  stock-ziproxy trickled one-late one-late-refused varnish-gzip
  waf-crs cache-varnish max-connections get-only types-blocked
  cut-envoy round-robin repeated-posts body-limit slow
`;
/** ms after which a library in a cell is ended. */
const RUN_MS = 150_000;
/** ms within which a first message is called soon. */
const SOON_MS = 1000;

const ids = Object.keys(PEERS);
/** Above this a later message is called late. */
const LATE_MS = 1000;

/** The first message, how late those after it were, and what brought them. */
function shown({ error, firstMs, laterMs, transport }) {
  if (error) return "did not run";
  if (firstMs === null) return "**never**";
  if (laterMs === null) return `${firstMs}, then **nothing** (${transport})`;
  return `${firstMs}, then ${laterMs} (${transport})`;
}

/** Of the cells that ran: in how many each library got through at all, soon, and from then on; and its slowest. */
function summary(results) {
  const ran = [...results.values()].filter((result) => ids.every((id) => !result[id].error));
  const all = (id) => ran.map((result) => result[id]);
  const count = (holds) => ids.map((id) => `${all(id).filter(holds).length} of ${ran.length}`);
  const soon = ({ firstMs }) => firstMs !== null && firstMs <= SOON_MS;
  const goesOn = ({ laterMs }) => laterMs !== null && laterMs <= LATE_MS;
  const slowest = (id) => Math.max(0, ...all(id).map(({ firstMs }) => firstMs ?? 0));
  return [
    ["*first message at all*", "", ...count(({ firstMs }) => firstMs !== null)],
    ["*within 1 s*", "", ...count(soon)],
    ["*and later ones within 1 s*", "", ...count((result) => soon(result) && goesOn(result))],
    ["*slowest first message*", "", ...ids.map(slowest)],
  ];
}

async function main() {
  const names = process.argv.slice(2);
  const suits = (cell) => !cell.tls && !cell.switch && missing(cell).length === 0;
  const chosen = cells(names.length > 0 ? names : CHOSEN.trim().split(/\s+/)).filter(suits);
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
