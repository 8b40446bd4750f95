/** The parts of a cell: gateways, what is in between, the page. All of them end with the cell. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { install } from "../page.js";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** Characters of a log that are shown. */
const LOG_CHARS = 4000;
const KEY = { authorization: "Bearer dev", "content-type": "application/json" };

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until it answers something, at most so many ms; then null. */
export async function until(ms, ask) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) return null;
    await pause(50);
  }
}

/** A process whose output is kept. */
export function start(program, args, options) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const part = { child, log: "" };
  const keep = (text) => {
    part.log = `${part.log}${text}`.slice(-LOG_CHARS);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  child.on("error", keep);
  return part;
}

/** The first line that a program prints. */
export async function line(program, args) {
  const part = start(program, args, {});
  return new Promise((resolve, reject) => {
    part.child.once("exit", () => reject(new Error(`${program} ended:\n${part.log}`)));
    createInterface(part.child.stdout).once("line", resolve);
  });
}

/** A gateway with the development settings; its address without TLS, and its port. */
export async function gateway(settings) {
  const program = process.env.THROUGHLINE_BIN ?? `${ROOT}target/debug/throughline`;
  if (!existsSync(program)) throw new Error(`no gateway at ${program}: run "cargo build"`);
  const args = ["serve", "--config", `${ROOT}config/dev.toml`, "--listen", "127.0.0.1:0"];
  const { THROUGHLINE_BIN: _, ...rest } = process.env;
  const part = start(program, args, { env: { ...rest, ...settings } });
  const lines = createInterface(part.child.stdout);
  const port = await new Promise((resolve, reject) => {
    part.child.once("exit", () => reject(new Error(`the gateway ended:\n${part.log}`)));
    lines.on("line", (line) => {
      const found = /^listening on http:\S+:(\d+)/.exec(line)?.[1];
      if (found) resolve(Number(found));
    });
  });
  return { base: `http://127.0.0.1:${port}`, port };
}

/** A Redis of its own, for gateways that share. */
export async function redis(port) {
  start("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], {});
  if (!(await until(60_000, () => answers(port)))) throw new Error("Redis did not start");
  return `redis://127.0.0.1:${port}`;
}

export function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Runs a script of the cell, and waits for its port. */
export async function between(folder, script, env) {
  const part = start("bash", ["-c", `. ../../lib/lib.sh; . ./${script}`], {
    cwd: folder,
    env: { ...process.env, ...env },
    detached: true,
  });
  const isUp = () => part.child.exitCode !== null || answers(Number(env.PORT));
  await until(60_000, isUp);
  if (!(await answers(Number(env.PORT)))) throw new Error(`what is in between ended:\n${part.log}`);
  return {
    log: () => part.log,
    async stop() {
      process.kill(-part.child.pid, "SIGKILL");
      await until(5000, async () => !(await answers(Number(env.PORT))));
    },
  };
}

/** A script of the client, as it is built. */
export const built = (name) => readFileSync(`${ROOT}client-js/dist/throughline.${name}`, "utf8");

/** What runs in the page: the client, and what watches it. */
export function script(base) {
  return `${built("iife.js")}\nglobalThis.Throughline = Throughline;\n(${install})(${JSON.stringify(base)})`;
}

/** The page: another origin than the gateway's, really loaded. Answers its port. */
export async function serve(text) {
  const html = `<!doctype html><meta charset="utf-8"><title>gauntlet</title><script>${text}</script>`;
  const server = http.createServer(({ url }, response) => {
    const isModule = url === "/diagnose.mjs";
    const type = isModule ? "text/javascript" : "text/html; charset=utf-8";
    response.writeHead(200, { "content-type": type });
    response.end(isModule ? built("diagnose.mjs") : html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

/** A browser, with a proxy where the cell has a forward one. It vouches for `trusted` keys, or for any. */
export async function browser(pagePort, forward, trusted) {
  const { chromium } = createRequire(`${ROOT}client-js/package.json`)("playwright-core");
  const args = [
    "--no-sandbox",
    trusted ? `--ignore-certificate-errors-spki-list=${trusted}` : "--ignore-certificate-errors",
    "--disable-features=AsyncDns,UseDnsHttpsSvcb",
  ];
  if (forward) {
    const { port, scheme = "http" } = forward;
    args.push(`--proxy-server=${scheme}://127.0.0.1:${port}`);
    // What the browser asks for by itself goes nowhere, and takes none of a proxy's connections.
    const own = "*.google.com;*.googleapis.com;*.gvt1.com";
    args.push(`--proxy-bypass-list=<-loopback>;127.0.0.1:${pagePort};${own}`);
  }
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args });
}

/** What the backend publishes, directly to the gateway. */
export async function publish(base, channel, data) {
  const body = JSON.stringify({ channel, data });
  const response = await fetch(`${base}/api/publish`, { method: "POST", headers: KEY, body });
  if (!response.ok) throw new Error(`/api/publish: ${response.status} ${await response.text()}`);
}

/** The numbers that a channel retains, oldest first. */
export async function retained(base, channel) {
  const query = new URLSearchParams({ channel, since: "0", limit: "1000" });
  const response = await fetch(`${base}/api/history?${query}`, { headers: KEY });
  if (!response.ok) return [];
  return (await response.json()).events.map(({ data }) => data.n);
}
