/** The cells, and how one runs in a network of its own: nothing leaves the machine, nothing outlives it. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("../", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../", new URL("../", import.meta.url)));
/** Where results are kept. */
export const RESULTS = `${ROOT}target/gauntlet`;
/** Cells at once, at most. */
export const AT_ONCE = 2;
const VENV = process.env.GAUNTLET_VENV ?? `${RESULTS}/venv`;
const PATH = `${process.env.PATH}:/usr/sbin:${VENV}/bin`;
const INSIDE = 'mount --make-rprivate / && ip link set lo up && exec "$@"';
const OWN = ["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", INSIDE, "_"];

/**
 * Options of `unshare` that this user may use: none as root, `-r` elsewhere; null where networks of
 * their own cannot be had.
 */
export function rights() {
  for (const first of [[], ["-r"]]) {
    const { status } = spawnSync("unshare", [...first, ...OWN, "true"], {
      env: { ...process.env, PATH },
    });
    if (status === 0) return first;
  }
  return null;
}

const has = (file) =>
  file.startsWith("/")
    ? existsSync(file)
    : PATH.split(":").some((dir) => existsSync(`${dir}/${file}`));

/** What a cell needs and this machine has not. */
export const missing = ({ needs }) => needs.filter((need) => !has(need));

/** Every cell, or those that are named. */
export function cells(names) {
  const all = readdirSync(`${HERE}cells`).sort();
  for (const name of names) if (!all.includes(name)) throw new Error(`no cell ${name}`);
  return (names.length > 0 ? names : all).map((id) => ({
    id,
    ...JSON.parse(readFileSync(`${HERE}cells/${id}/cell.json`, "utf8")),
  }));
}

/** Runs a script with these arguments within `ms`; what its last line says. */
export function alone(first, script, args, ms) {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH, GAUNTLET_VENV: VENV };
    const command = [...first, ...OWN, process.execPath, `${HERE}${script}`, ...args];
    const child = spawn("unshare", command, { env, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let log = "";
    child.stdout.on("data", (text) => {
      out += text;
    });
    child.stderr.on("data", (text) => {
      log = `${log}${text}`.slice(-4000);
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), ms);
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

/** Works off a queue, so many at once. */
export async function each(queue, work) {
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
