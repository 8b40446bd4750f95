/** Networks and browsers that have no WebSocket, or little else. */
import { describe, expect, test } from "vitest";
import { fresh, until, Visitor } from "./kit/visitor.ts";

/** Both say something, and both hear it once. */
async function chatWorks(one: Visitor, other: Visitor, channel: string): Promise<void> {
  const before = (await other.events(channel)).length;
  await one.publish(channel, "question");
  await other.publish(channel, "answer");
  for (const visitor of [one, other]) {
    const data = await visitor.received(channel, before + 2);
    expect(data.slice(before)).toEqual(["question", "answer"]);
  }
}

describe("where the handshake of a WebSocket", () => {
  // spec: S4
  // demand: 10, 93
  test.each([
    ["is reset", "reset"],
    ["is swallowed", "hang"],
  ] as const)(
    "%s the chat goes by a stream, and climbs back when it is let through",
    async (_, fate) => {
      const chat = fresh("chat");
      const [visitor, friend] = await Promise.all([Visitor.open(), Visitor.open()]);
      visitor.shim.upgrades = fate;
      for (const one of [visitor, friend]) {
        await one.connect({}, { [chat]: {} });
        await one.joined(chat);
      }
      await chatWorks(visitor, friend, chat);
      await visitor.connected("stream");
      await chatWorks(visitor, friend, chat);

      visitor.shim.upgrades = "pass";
      await visitor.connected("websocket");
      await chatWorks(visitor, friend, chat);
      expect(await visitor.notes("resumed")).toEqual([]);
    },
  );
});

/** Milliseconds that a handshake may be under way, and as many as a busy machine needs to see its end. */
const [CONNECT_MS, SLACK_MS] = [3000, 12_000];
const LOADS = 50;

// A browser allows one handshake at a time for each host, over all tabs.
// demand: 10
test("fifty page loads where WebSockets are swallowed hold up no handshake of another tab", async () => {
  const visitor = await Visitor.open();
  visitor.shim.upgrades = "hang";
  visitor.shim.spares = "GET /realtime/other/ws ";
  const other = await visitor.beside();
  await other.page.evaluate(() => {
    const took: number[] = [];
    const shake = (): void => {
      const from = performance.now();
      // It has to succeed: after failures Chromium itself makes a tab's handshakes wait.
      const socket = new WebSocket(`ws://${location.host}/realtime/other/ws`);
      socket.onopen = () => {
        took.push(performance.now() - from);
        socket.close();
        setTimeout(shake, 100);
      };
    };
    Object.assign(globalThis, { took });
    shake();
  });
  for (let load = 0; load < LOADS; load++) {
    await visitor.load();
    await visitor.connect({ resume: false });
    await visitor.connected();
    // Now and then a reader stays, and the handshake is given up by the client.
    if (load % 10 === 0) await visitor.connected("stream");
  }
  await visitor.connected("stream");
  const took = await other.page.evaluate(() => (globalThis as unknown as { took: number[] }).took);
  const { hung } = visitor.shim;
  console.log(
    `${LOADS} loads: ${hung.length} handshakes hung, ${Math.round(Math.max(...hung))} ms at most; ` +
      `${took.length} of another tab took ${Math.round(Math.max(...took))} ms at most`,
  );
  expect(hung.length).toBeGreaterThan(0);
  expect(took.length).toBeGreaterThan(0);
  expect(Math.max(...hung)).toBeLessThan(CONNECT_MS + SLACK_MS);
  expect(Math.max(...took)).toBeLessThan(CONNECT_MS + SLACK_MS);
}, 600_000);

// spec: M26, S4
// demand: 59, 93
test("a way down that stalls is noticed when something is sent, and nothing is lost", async () => {
  const chat = fresh("chat");
  const [visitor, friend] = await Promise.all([Visitor.open(), Visitor.open()]);
  for (const one of [visitor, friend]) {
    await one.connect({}, { [chat]: {} });
    await one.connected("websocket");
    await one.joined(chat);
  }
  visitor.shim.stallDown();
  await friend.publish(chat, "can you hear me?");
  await visitor.publish(chat, "now I can");
  for (const one of [visitor, friend]) {
    expect(await one.received(chat, 2)).toEqual(["can you hear me?", "now I can"]);
  }
});

/** Takes away what an old browser does not have. */
function age(): void {
  for (const name of ["WebSocket", "EventSource", "SharedWorker", "BroadcastChannel"]) {
    Reflect.deleteProperty(globalThis, name);
  }
  Reflect.deleteProperty(Response.prototype, "body");
  Reflect.deleteProperty(AbortSignal, "any");
  Reflect.deleteProperty(AbortSignal, "timeout");
  Reflect.deleteProperty(Navigator.prototype, "locks");
}

// spec: S2
// demand: 11
test("an old browser without WebSocket, EventSource, streaming fetch and locks chats by polls", async () => {
  const chat = fresh("chat");
  const [visitor, friend] = await Promise.all([Visitor.open({ init: age }), Visitor.open()]);
  for (const one of [visitor, friend]) {
    await one.connect({}, { [chat]: { presence: true } });
    await one.joined(chat);
  }
  const missing = await visitor.page.evaluate(() =>
    [globalThis.WebSocket, globalThis.EventSource, new Response("x").body, navigator.locks].every(
      (api) => api === undefined,
    ),
  );
  expect(missing).toBe(true);
  for (let round = 0; round < 3; round += 1) await chatWorks(visitor, friend, chat);
  await until("they see each other", async () => {
    const counts = [visitor, friend].map((one) =>
      one.page.evaluate((chat) => lab.client.channel(chat).presence.count, chat),
    );
    return (await Promise.all(counts)).every((count) => count === 2);
  });
  expect(await visitor.page.evaluate(() => lab.client.transport)).toBe("poll");
  expect([...visitor.uncaught, ...visitor.complaints]).toEqual([]);
});

/** What a browser may lack by itself; each runs in the page. */
const LACKS: readonly [what: string, takeAway: () => void][] = [
  ["WebSocket", () => Reflect.deleteProperty(globalThis, "WebSocket")],
  ["EventSource", () => Reflect.deleteProperty(globalThis, "EventSource")],
  ["streaming fetch", () => Reflect.deleteProperty(Response.prototype, "body")],
  ["navigator.locks", () => Reflect.deleteProperty(Navigator.prototype, "locks")],
  ["SharedWorker", () => Reflect.deleteProperty(globalThis, "SharedWorker")],
  ["AbortSignal.any", () => Reflect.deleteProperty(AbortSignal, "any")],
];

// spec: S2
// demand: 11
test.each(LACKS)("a browser that lacks %s alone chats, and by polls too", async (_, takeAway) => {
  const chat = fresh("chat");
  const [visitor, friend] = await Promise.all([Visitor.open({ init: takeAway }), Visitor.open()]);
  for (const one of [visitor, friend]) {
    await one.connect({}, { [chat]: {} });
    await one.joined(chat);
  }
  await chatWorks(visitor, friend, chat);
  await visitor.use("poll");
  await visitor.connected("poll");
  await chatWorks(visitor, friend, chat);
  expect(visitor.uncaught).toEqual([]);
});
