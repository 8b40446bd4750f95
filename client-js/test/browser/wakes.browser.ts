/** Pages that were asleep, or without a network: they come back to their session, and miss nothing. */
import { expect, test } from "vitest";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

/** Milliseconds within which a dead link is noticed, and replaced, on a machine that is busy. */
const BACK_MS = 10_000;
/** Milliseconds within which a proven transport is tried again after it was lost. */
const CLIMB_MS = 30_000;
const EVENTS = 20;

/** Publishes one after the other. */
async function talk(channel: string, first: number): Promise<void> {
  for (let n = first; n < first + EVENTS; n++) await publish(nextServer(), channel, { data: n });
}

/** How long it takes until the page has that many events, each once and in order. */
async function whole(visitor: Visitor, channel: string, count: number): Promise<number> {
  const from = performance.now();
  const data = await visitor.received(channel, count);
  const tookMs = performance.now() - from;
  expect(data).toEqual(Array.from({ length: count }, (_, n) => n));
  expect(await visitor.notes("gap")).toEqual([]);
  return Math.round(tookMs);
}

// spec: D1, D2, D4
// demand: 93
test.each(["websocket", "stream", "sse", "poll"] as const)(
  "a page that is kept, frozen, while another is looked at goes on over %s when one comes back",
  async (transport) => {
    const chat = fresh("chat");
    const visitor = await Visitor.open();
    await visitor.connect({ transports: [transport] }, { [chat]: {} });
    await visitor.connected(transport);
    await visitor.joined(chat);
    await talk(chat, 0);
    await whole(visitor, chat, EVENTS);
    const id = await visitor.page.evaluate(() => lab.client.me?.id);
    await visitor.page.evaluate(() => {
      Object.assign(globalThis, { lived: [] });
      document.addEventListener("freeze", () => lived.push("freeze"));
      addEventListener("pageshow", ({ persisted }) => lived.push(`shown ${persisted}`));
    });

    await visitor.page.goto("/health?elsewhere");
    await talk(chat, EVENTS);
    await visitor.page.goBack({ waitUntil: "commit" });
    const tookMs = await whole(visitor, chat, 2 * EVENTS);
    // The same page, and not one that was loaded again.
    expect(await visitor.page.evaluate(() => lived)).toEqual(["freeze", "shown true"]);
    await visitor.connected(transport);
    expect(await visitor.page.evaluate(() => lab.client.me?.id)).toBe(id);
    console.log(`back to a frozen page over ${transport}: whole after ${tookMs} ms`);
    expect(tookMs).toBeLessThan(BACK_MS);
  },
);

// spec: D4, M26
// demand: 93
test("where the network goes and another comes, what hangs is left at once for what works", async () => {
  const chat = fresh("chat");
  const visitor = await Visitor.open();
  await visitor.connect({}, { [chat]: {} });
  await visitor.connected("websocket");
  await visitor.joined(chat);
  const network = visitor.page.context();
  // The browser's own switch does not touch a WebSocket that is open.
  visitor.shim.refuses = true;
  visitor.shim.stallDown();
  await network.setOffline(true);
  await talk(chat, 0);
  visitor.shim.refuses = false;
  await network.setOffline(false);
  const tookMs = await whole(visitor, chat, EVENTS);
  console.log(`after a change of network: whole after ${tookMs} ms`);
  expect(tookMs).toBeLessThan(BACK_MS);
  expect((await visitor.notes("resumed")).every(({ recovered }) => recovered)).toBe(true);
});

// spec: S4
// demand: 10, 93
test("after five seconds without WebSockets a page is back on one within thirty, and heard all meanwhile", async () => {
  const chat = fresh("chat");
  const visitor = await Visitor.open();
  await visitor.connect({}, { [chat]: {} });
  await visitor.connected("websocket");
  await visitor.joined(chat);
  visitor.shim.upgrades = "reset";
  visitor.shim.cut();
  const from = performance.now();
  await talk(chat, 0);
  await whole(visitor, chat, EVENTS);
  expect(await visitor.page.evaluate(() => lab.client.transport)).not.toBe("websocket");
  await until("the outage was long enough", () => performance.now() - from > 5000);
  visitor.shim.upgrades = "pass";
  const back = performance.now();
  await until(
    "it is back on a WebSocket",
    () => visitor.page.evaluate(() => lab.client.transport === "websocket"),
    2 * CLIMB_MS,
  );
  const tookMs = performance.now() - back;
  console.log(`WebSockets are back: used after ${Math.round(tookMs)} ms`);
  expect(tookMs).toBeLessThan(CLIMB_MS + BACK_MS);
  await talk(chat, EVENTS);
  await whole(visitor, chat, 2 * EVENTS);
}, 300_000);

declare global {
  var lived: string[];
}
