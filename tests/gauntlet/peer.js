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
/** Visits that are counted, where the first one gets through. */
const VISITS = 3;
/** ms until a transport is looked at: all climb in that time. */
const SETTLED_MS = 2000;

const [id, name] = process.argv.slice(2);
const peer = PEERS[name];
const folder = `${parts.ROOT}tests/gauntlet/cells/${id}`;
const cell = JSON.parse(readFileSync(`${folder}/cell.json`, "utf8"));

/** Loads the page in a context that knows nothing, and connects. */
async function visit(browser, url) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(url);
  await page.evaluate(() => peer.begin());
  const seen = () => page.evaluate(() => peer.seen());
  await parts.until(NEVER_MS, async () => (await seen()).firstMs !== null);
  const { firstMs } = await seen();
  if (firstMs !== null) await parts.pause(SETTLED_MS);
  const { transport } = await seen();
  await context.close();
  return { firstMs, transport };
}

async function main() {
  const run = mkdtempSync(`${tmpdir()}/gauntlet-`);
  chmodSync(run, 0o777);
  mkdirSync(`${run}/tls`);
  const keys = ["bash", [`${parts.ROOT}tests/gauntlet/lib/mktls.sh`, `${run}/tls`]];
  execFileSync(...keys, { stdio: "ignore" });
  const ports = await peer.start(cell.nodes ?? 1, run);
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
  const visits = [];
  do visits.push(await visit(browser, `http://127.0.0.1:${pagePort}/`));
  while (visits.length < VISITS && visits[0].firstMs !== null);
  const first = visits.map(({ firstMs }) => firstMs ?? Number.POSITIVE_INFINITY);
  return { firstMs: median(first), transport: visits.at(-1).transport, visits };
}

main()
  .catch((error) => ({ error: String(error?.stack ?? error) }))
  .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)));
