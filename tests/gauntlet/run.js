/**
 * Runs cells and prints a row for each: `node run.js [--core] [--write] [id…]`. Each cell has a
 * network of its own, with loopback only.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { alone, cells, each, missing, RESULTS, rights } from "./lib/cells.js";
import { write } from "./lib/document.js";
import { header, row, verdict } from "./lib/table.js";

/** ms after which a cell is ended. */
const CELL_MS = 300_000;

function run(cell, first) {
  const without = missing(cell);
  if (without.length > 0) return { missing: without };
  return alone(first, "cell.js", [cell.id], CELL_MS);
}

async function main() {
  const args = process.argv.slice(2);
  const names = args.filter((arg) => !arg.startsWith("--"));
  const core = args.includes("--core");
  const chosen = cells(names).filter((cell) => !core || cell.core);
  const first = rights();
  if (!first) {
    const needs = "it needs root, or namespaces for users that are not (and iproute2)";
    console.error(`gauntlet: NOT RUN, nothing is known of any proxy: ${needs}`);
    // The core, which is part of every test run, says so and is not failed by it.
    process.exit(core ? 0 : 1);
  }
  mkdirSync(RESULTS, { recursive: true });
  const rows = new Map();
  let failed = [];
  for (const line of header()) console.log(line);
  const work = async (cell) => {
    const result = await run(cell, first);
    writeFileSync(`${RESULTS}/${cell.id}.json`, JSON.stringify(result, null, 1));
    const faults = verdict(cell, result);
    if (faults.length > 0) failed.push(cell);
    const line = row(cell, result, faults);
    rows.set(cell.id, line);
    console.log(line);
    if (process.env.VERBOSE) console.log(JSON.stringify(result, null, 1));
    else if (result.error) console.error(result.error);
  };
  await each([...chosen], work);
  if (core && failed.length > 0) {
    console.log("again, alone: two browsers on a busy machine may be late");
    const again = failed;
    failed = [];
    for (const cell of again) await work(cell);
  }
  if (args.includes("--write"))
    write("gauntlet", [...header(), ...chosen.map(({ id }) => rows.get(id))]);
  const many = failed.length;
  if (many > 0) console.error(`gauntlet: ${many} of ${chosen.length} cells failed`);
  process.exit(many > 0 ? 1 : 0);
}

await main();
