/**
 * Runs cells and prints a row for each: `node run.js [--core] [--write] [id…]`. Each cell has a
 * network of its own, with loopback only: nothing leaves the machine, nothing outlives the cell.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { header, row, verdict } from "./lib/table.js";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const RESULTS = `${ROOT}target/gauntlet`;
const DOCUMENT = `${ROOT}docs/PROXIES.md`;
const MARKS = ["<!-- gauntlet: begin -->", "<!-- gauntlet: end -->"];
/** ms after which a cell is ended. */
const CELL_MS = 120_000;
/** Cells at once, at most. */
const AT_ONCE = 2;
const VENV = process.env.GAUNTLET_VENV ?? `${RESULTS}/venv`;
const PATH = `${process.env.PATH}:/usr/sbin:${VENV}/bin`;
const INSIDE = 'mount --make-rprivate / && ip link set lo up && exec "$@"';
const OWN = ["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", INSIDE, "_"];

/**
 * Options of `unshare` that this user may use: none as root, `-r` elsewhere. Where networks of their own
 * cannot be had nothing was run: the core, which is part of every test run, says so and is not failed by it.
 */
function rights(core) {
  for (const first of [[], ["-r"]]) {
    const { status } = spawnSync("unshare", [...first, ...OWN, "true"], {
      env: { ...process.env, PATH },
    });
    if (status === 0) return first;
  }
  const needs = "it needs root, or namespaces for users that are not (and iproute2)";
  console.error(`gauntlet: NOT RUN, nothing is known of any proxy: ${needs}`);
  process.exit(core ? 0 : 1);
}

const has = (file) =>
  file.startsWith("/")
    ? existsSync(file)
    : PATH.split(":").some((dir) => existsSync(`${dir}/${file}`));

/** Every cell, or those that are named. */
function cells(names, core) {
  const all = readdirSync(`${HERE}cells`).sort();
  for (const name of names) if (!all.includes(name)) throw new Error(`no cell ${name}`);
  return (names.length > 0 ? names : all)
    .map((id) => ({ id, ...JSON.parse(readFileSync(`${HERE}cells/${id}/cell.json`, "utf8")) }))
    .filter((cell) => !core || cell.core);
}

function run(cell, first) {
  const missing = cell.needs.filter((need) => !has(need));
  if (missing.length > 0) return Promise.resolve({ missing });
  return new Promise((resolve) => {
    const args = [...first, ...OWN, process.execPath, `${HERE}cell.js`, cell.id];
    const env = { ...process.env, PATH, GAUNTLET_VENV: VENV };
    const child = spawn("unshare", args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let log = "";
    child.stdout.on("data", (text) => {
      out += text;
    });
    child.stderr.on("data", (text) => {
      log = `${log}${text}`.slice(-4000);
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), CELL_MS);
    child.on("close", () => {
      clearTimeout(timer);
      try {
        resolve(JSON.parse(out.trim().split("\n").at(-1)));
      } catch {
        resolve({ error: `the cell said nothing:\n${log}` });
      }
    });
  });
}

function write(lines) {
  const text = readFileSync(DOCUMENT, "utf8");
  const [begin, end] = MARKS.map((mark) => text.indexOf(mark));
  if (begin < 0 || end < begin) throw new Error(`no marks in ${DOCUMENT}`);
  const machine = `Measured on ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${AT_ONCE} cells at once.`;
  const table = [MARKS[0], "", machine, "", ...lines, "", ""].join("\n");
  writeFileSync(DOCUMENT, text.slice(0, begin) + table + text.slice(end));
}

async function main() {
  const args = process.argv.slice(2);
  const names = args.filter((arg) => !arg.startsWith("--"));
  const core = args.includes("--core");
  const chosen = cells(names, core);
  const first = rights(core);
  mkdirSync(RESULTS, { recursive: true });
  const rows = new Map();
  let failed = [];
  for (const line of header()) console.log(line);
  const worker = async (queue) => {
    for (let cell = queue.shift(); cell; cell = queue.shift()) {
      const result = await run(cell, first);
      writeFileSync(`${RESULTS}/${cell.id}.json`, JSON.stringify(result, null, 1));
      const faults = verdict(cell, result);
      if (faults.length > 0) failed.push(cell);
      const line = row(cell, result, faults);
      rows.set(cell.id, line);
      console.log(line);
      if (process.env.VERBOSE) console.log(JSON.stringify(result, null, 1));
      else if (result.error) console.error(result.error);
    }
  };
  const queue = [...chosen];
  await Promise.all(Array.from({ length: AT_ONCE }, () => worker(queue)));
  if (core && failed.length > 0) {
    console.log("again, alone: two browsers on a busy machine may be late");
    const again = failed;
    failed = [];
    await worker(again);
  }
  if (args.includes("--write")) write([...header(), ...chosen.map(({ id }) => rows.get(id))]);
  const many = failed.length;
  if (many > 0) console.error(`gauntlet: ${many} of ${chosen.length} cells failed`);
  process.exit(many > 0 ? 1 : 0);
}

await main();
