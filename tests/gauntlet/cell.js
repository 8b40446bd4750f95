/**
 * One cell, inside a network of its own: gateways, what is in between, a page. Prints what was seen
 * as one line of JSON.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { judge } from "./lib/judge.js";
import * as parts from "./lib/parts.js";
import { limit } from "./lib/table.js";
import { compared, often } from "./lib/visits.js";

/** Messages each way. */
const COUNT = 20;
/** Ports of a network where nobody else is. */
const PORT = 21_100;
const TLS_PORT = 21_001;
const REDIS_PORT = 21_300;
/** ms for the first message, for all messages, and for the best transport: bounds, also on a busy machine. */
const CONNECT_MS = 60_000;
const MESSAGES_MS = 60_000;
const BEST_MS = 20_000;
/** ms that a diagnosis may take. */
const DIAGNOSE_MS = 60_000;

const id = process.argv[2];
const folder = `${parts.ROOT}tests/gauntlet/cells/${id}`;
const cell = JSON.parse(readFileSync(`${folder}/cell.json`, "utf8"));
const run = mkdtempSync(`${tmpdir()}/gauntlet-`);

async function servers() {
  const settings = {};
  if (cell.tls) {
    settings.THROUGHLINE_TLS__CERT_FILE = `${run}/tls/gateway.crt`;
    settings.THROUGHLINE_TLS__KEY_FILE = `${run}/tls/gateway.key`;
    settings.THROUGHLINE_TLS__LISTEN = `127.0.0.1:${TLS_PORT}`;
  }
  if (cell.nodes === 2) settings.THROUGHLINE_ENGINE__URL = await parts.redis(REDIS_PORT);
  const one = await parts.gateway(settings);
  return [one, cell.nodes === 2 ? await parts.gateway(settings) : one];
}

/** What a cell's scripts are told. */
function environment([one, other]) {
  return {
    PORT: `${PORT}`,
    PORT2: `${PORT + 1}`,
    ORIGIN_PORT: `${cell.tls && cell.way === "reverse" && !cell.plainOrigin ? TLS_PORT : one.port}`,
    ORIGIN_B_PORT: `${other.port}`,
    RUN: run,
    TLS: `${run}/tls`,
  };
}

function address(gateway) {
  const { host = "127.0.0.1" } = cell;
  if (cell.way === "reverse") return `${cell.tls ? "https" : "http"}://${host}:${PORT}`;
  return cell.tls ? `https://127.0.0.1:${TLS_PORT}` : gateway.base;
}

/** Opens the page, and notes what it asks for and what comes back. */
async function open(base) {
  const pagePort = await parts.serve(parts.script(base));
  const forward = cell.way === "forward" ? { port: PORT, scheme: cell.scheme } : null;
  const trusted = cell.untrusted ? readFileSync(`${run}/tls/gateway.spki`, "utf8").trim() : null;
  const browser = await parts.browser(pagePort, forward, trusted);
  const page = await browser.newPage({ ignoreHTTPSErrors: !cell.untrusted });
  const requests = [];
  const start = performance.now();
  const told = (what) => {
    const at = Math.round(performance.now() - start);
    if (requests.length < 400) requests.push(`${at} ${what}`);
  };
  page.on("request", (request) => told(`${request.method()} ${request.url()}`));
  page.on("requestfailed", (request) =>
    told(`${request.method()} ${request.url()} failed: ${request.failure()?.errorText}`),
  );
  page.on("response", (response) =>
    told(`${response.request().method()} ${response.url()} ${response.status()}`),
  );
  page.on("websocket", (socket) => {
    told(`WebSocket ${socket.url()}`);
    socket.on("socketerror", (error) => told(`WebSocket failed: ${error}`));
    socket.on("close", () => told("WebSocket closed"));
  });
  page.on("console", (message) => told(`console: ${message.text()}`));
  page.on("pageerror", (error) => told(`error: ${error.message}`));
  if (cell.sameOrigin) await page.addInitScript({ content: parts.script(base) });
  await page.goto(cell.sameOrigin ? `${base}/health` : `http://127.0.0.1:${pagePort}/`);
  return { page, requests };
}

/** Numbered messages both ways, some of them large where the cell says so, until all have come or time is up. */
async function exchange(page, base, from, count, every, ms) {
  const { padBytes = 0 } = cell;
  const three = [from, count, padBytes];
  await page.evaluate(([first, many, bytes]) => gauntlet.publish(first, many, bytes), three);
  for (let n = from; n < from + count; n += 1) {
    const more = n % 10 === 5 && { pad: "x".repeat(padBytes) };
    await parts.publish(base, "chat:down", { n, ...more });
    await parts.pause(every);
  }
  await parts.until(ms, async () => {
    const { got } = await page.evaluate(() => gauntlet.seen());
    return new Set(got.down).size >= from + count && new Set(got.up).size >= from + count;
  });
}

async function connected(page) {
  return parts.until(CONNECT_MS, async () => {
    const seen = await page.evaluate(() => gauntlet.seen());
    const open = seen.notes.filter(({ kind }) => kind === "subscribed").length;
    return seen.firstMs !== null && open >= 3;
  });
}

/** Where nobody gets through at first: what is said of it, then the way is opened. */
async function opened(page, middle, env, result) {
  await parts.pause(cell.switch.afterMs);
  result.named = await page.evaluate(() => gauntlet.diagnose());
  const { firstMs, state, notes } = await page.evaluate(() => gauntlet.seen());
  result.before = { firstMs, state, errors: notes.filter(({ kind }) => kind === "error") };
  await middle.stop();
  await parts.between(folder, cell.switch.script, env);
  result.openedMs = await page.evaluate(() => gauntlet.now());
}

async function play(page, one, middle, env, result) {
  result.pageMs = await page.evaluate(() => gauntlet.roundTrip());
  await page.evaluate(() => gauntlet.connect());
  if (cell.switch) await opened(page, middle, env, result);
  result.connected = (await connected(page)) !== null;
  if (!result.connected) return 0;
  await exchange(page, one.base, 0, COUNT, 30, MESSAGES_MS);
  const wanted = cell.transports;
  await parts.until(cell.bestMs ?? BEST_MS, async () => {
    const { transport } = await page.evaluate(() => gauntlet.seen());
    return transport === wanted[0];
  });
  if (cell.quietMs) await parts.pause(cell.quietMs);
  const more = cell.holdMs ? Math.floor(cell.holdMs / 500) : cell.quietMs ? 5 : 0;
  const every = cell.holdMs ? 500 : 30;
  if (more > 0) await exchange(page, one.base, COUNT, more, every, cell.messagesMs ?? MESSAGES_MS);
  return COUNT + more;
}

/** What the proxy notes of its requests, where it does: the last 60 lines. */
function accessLog() {
  const file = `${run}/access.log`;
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-60) : [];
}

/** Comes back to the page where times are judged. */
async function measure(page, result) {
  if (limit(cell) === null && !cell.compare) return;
  await page.evaluate(() => gauntlet.close());
  const { pageMs, firstMs } = result;
  Object.assign(result, await often(page, { pageMs, firstMs }));
  if (cell.compare) result.compared = await compared(page);
}

/** What the page for help desks says in this network; its picture lies beside the result. */
async function diagnosed(page, base) {
  await page.setViewportSize({ width: 1000, height: 900 });
  await page.goto(`${base}/diagnose`);
  await page.getByRole("heading", { name: "The text to send" }).waitFor({ timeout: DIAGNOSE_MS });
  await page.screenshot({ path: `${parts.ROOT}target/gauntlet/${id}.png`, fullPage: true });
  return page.locator("#text").textContent();
}

async function main() {
  const result = { id, connected: false };
  chmodSync(run, 0o777);
  mkdirSync(`${run}/tls`);
  execFileSync("bash", [`${parts.ROOT}tests/gauntlet/lib/mktls.sh`, `${run}/tls`], {
    stdio: "ignore",
  });
  const [one, other] = await servers();
  await parts.publish(one.base, "chat:first", { n: 0 });
  const env = environment([one, other]);
  const middle = await parts.between(folder, "start.sh", env);
  const { page, requests } = await open(address(one));
  try {
    const published = await play(page, one, middle, env, result);
    const seen = await page.evaluate(() => gauntlet.seen());
    Object.assign(result, judge(seen, await parts.retained(one.base, "chat:up"), published));
    if (result.connected) await measure(page, result);
    if (process.env.SHOTS) result.diagnosis = await diagnosed(page, address(one));
  } finally {
    Object.assign(result, { requests, log: middle.log(), access: accessLog() });
  }
  return result;
}

main()
  .catch((error) => ({ id, error: String(error?.stack ?? error) }))
  .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)));
