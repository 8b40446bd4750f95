/**
 * One library in one cell, inside a network of its own: `node peer.js CELL PEER`. Prints how long its
 * first message took, as one line of JSON.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as parts from "./lib/parts.js";
import { median } from "./lib/visits.js";
import { PEERS, script } from "./peers/peers.js";

/** The port of a network where nobody else is. */
const PORT = 21_100;
/** ms after which nothing is taken to come any more. */
const NEVER_MS = 30_000;
/** Visits; the first, of a browser that has just started, is counted only where it does not get through. */
const VISITS = 4;
/** How often the server ticks after the first message of the first visit, and ms between two. */
const TICKS = 8;
const TICK_MS = 500;

const [id, name] = process.argv.slice(2);
const peer = PEERS[name];
const folder = `${parts.ROOT}tests/gauntlet/cells/${id}`;
const cell = JSON.parse(readFileSync(`${folder}/cell.json`, "utf8"));

/** Loads the page in a context that knows nothing, and connects; with `tick`, hears what comes later. */
async function visit(browser, url, tick) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(url);
  await page.evaluate(() => peer.begin());
  const seen = () => page.evaluate(() => peer.seen());
  await parts.until(NEVER_MS, async () => (await seen()).firstMs !== null);
  const { firstMs } = await seen();
  for (let turn = 0; tick && firstMs !== null && turn < TICKS; turn += 1) {
    await tick();
    await parts.pause(TICK_MS);
  }
  const { lateMs, transport } = await seen();
  await context.close();
  return { firstMs, lateMs, transport };
}

async function main() {
  const run = mkdtempSync(`${tmpdir()}/gauntlet-`);
  chmodSync(run, 0o777);
  mkdirSync(`${run}/tls`);
  const keys = ["bash", [`${parts.ROOT}tests/gauntlet/lib/mktls.sh`, `${run}/tls`]];
  execFileSync(...keys, { stdio: "ignore" });
  const { ports, tick } = await peer.start(cell.nodes ?? 1, run);
  await parts.between(folder, "start.sh", {
    PORT: `${PORT}`,
    PORT2: `${PORT + 1}`,
    ORIGIN_PORT: `${ports[0]}`,
    ORIGIN_B_PORT: `${ports.at(-1)}`,
    RUN: run,
    TLS: `${run}/tls`,
  });
  const { host = "127.0.0.1" } = cell;
  const base = `http://${host}:${cell.way === "reverse" ? PORT : ports[0]}`;
  const pagePort = await parts.serve(script(peer, base));
  const forward = cell.way === "forward" ? { port: PORT, scheme: cell.scheme } : null;
  const browser = await parts.browser(pagePort, forward, null);
  const url = `http://127.0.0.1:${pagePort}/`;
  const visits = [await visit(browser, url, tick)];
  const [{ lateMs, transport, firstMs }] = visits;
  while (visits.length < VISITS && firstMs !== null) visits.push(await visit(browser, url));
  const counted = visits.length > 1 ? visits.slice(1) : visits;
  const first = median(counted.map((one) => one.firstMs ?? Number.POSITIVE_INFINITY));
  return {
    firstMs: Number.isFinite(first) ? first : null,
    laterMs: median(lateMs),
    transport,
    visits,
  };
}

main()
  .catch((error) => ({ error: String(error?.stack ?? error) }))
  .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)));
