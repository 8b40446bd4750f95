/** The client in another engine than the other suites': the transports, and what an old browser lacks. */
import { type Browser, launch, type Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Transport } from "../../src/index.ts";
import { publish } from "../browser/kit/api.ts";
import { installLab } from "../browser/kit/lab.ts";
import { type Server, startServer } from "../browser/kit/server.ts";

const CHANNEL = "chat:firefox";

let server: Server;
let browser: Browser;

beforeAll(async () => {
  server = await startServer();
  const executablePath = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";
  browser = await launch({ browser: "firefox", executablePath, headless: true });
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

/** Takes away what an old browser does not have. */
const LACKS: readonly [what: string, without: () => void, transport: Transport][] = [
  ["everything", () => undefined, "websocket"],
  ["no WebSocket", () => Reflect.deleteProperty(globalThis, "WebSocket"), "stream"],
  [
    "no WebSocket and no locks",
    () => {
      Reflect.deleteProperty(globalThis, "WebSocket");
      Reflect.deleteProperty(Navigator.prototype, "locks");
    },
    "stream",
  ],
  [
    "neither WebSocket nor streams",
    () => {
      for (const name of ["WebSocket", "EventSource", "SharedWorker", "BroadcastChannel"]) {
        Reflect.deleteProperty(globalThis, name);
      }
      Reflect.deleteProperty(Response.prototype, "body");
      Reflect.deleteProperty(AbortSignal, "any");
      Reflect.deleteProperty(AbortSignal, "timeout");
    },
    "poll",
  ],
];

async function open(without: () => void): Promise<Page> {
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(without);
  await page.evaluateOnNewDocument(installLab);
  await page.goto(`${server.base}/health`);
  await page.addScriptTag({ url: `${server.base}/realtime/client.js` });
  await page.evaluate((channel) => {
    lab.connect({});
    lab.join(channel);
  }, CHANNEL);
  return page;
}

const heard = (page: Page): Promise<unknown[]> =>
  page.evaluate(() =>
    lab.notes.flatMap((note) => (note.kind === "event" ? [note.event.data] : [])),
  );

test.each(LACKS)("Firefox with %s chats", async (what, without, transport) => {
  const page = await open(without);
  const wait = { timeout: 30_000, interval: 50 };
  await vi.waitFor(async () => {
    const now = await page.evaluate(() => [lab.client.state, lab.client.transport]);
    expect(now).toEqual(["connected", transport]);
    expect(await page.evaluate(() => lab.notes.some(({ kind }) => kind === "subscribed"))).toBe(
      true,
    );
  }, wait);

  await page.evaluate((channel, text) => lab.client.channel(channel).publish(text), CHANNEL, what);
  await publish(server.base, CHANNEL, { data: `${what}, too` });
  await vi.waitFor(async () => expect(await heard(page)).toEqual([what, `${what}, too`]), wait);
  expect(await page.evaluate(() => lab.notes.filter(({ kind }) => kind === "gap"))).toEqual([]);
  await page.close();
});
