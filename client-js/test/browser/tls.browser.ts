/** Pages over TLS: WebSockets beside HTTP/2, and what shares one connection of it. */
import { expect, onTestFinished, test } from "vitest";
import type { Transport } from "../../src/index.ts";
import { type Server, startSecureServer } from "./kit/server.ts";
import { fresh, until, Visitor } from "./kit/visitor.ts";

async function secure(): Promise<Server> {
  const server = await startSecureServer();
  onTestFinished(() => server.stop());
  expect(server.base).toMatch(/^https:/);
  return server;
}

/** Two pages of profiles of their own, in the same channel. */
async function pair(base: string, chat: string): Promise<[Visitor, Visitor]> {
  const visitors = [await Visitor.open({ base }), await Visitor.open({ base })] as const;
  for (const visitor of visitors) {
    await visitor.connect({}, { [chat]: {} });
    await visitor.joined(chat);
  }
  return [...visitors];
}

/** The path and protocol of each request below `/realtime/` that has ended. */
function requests({ page }: Visitor): Promise<[path: string, protocol: string][]> {
  return page.evaluate(() => {
    const all = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
    const own = all.filter(({ name }) => new URL(name).pathname.startsWith("/realtime/"));
    return own.map(({ name, nextHopProtocol }) => [new URL(name).pathname, nextHopProtocol]);
  });
}

// demand: 16
test("the demo loads over https and is live over a WebSocket", async () => {
  const { base } = await secure();
  const visitor = await Visitor.arrive({ base });
  const sockets: string[] = [];
  visitor.page.on("websocket", (socket) => sockets.push(socket.url()));
  await visitor.page.goto("/");
  for (const side of ["left", "right"]) {
    const state = visitor.page.locator(`.pane[data-side="${side}"] .state-text`);
    await until(`the ${side} end is live`, async () =>
      /Live · WebSocket/.test((await state.textContent()) ?? ""),
    );
  }
  expect(sockets.filter((url) => !url.startsWith("wss:"))).toEqual([]);
  expect(sockets.length).toBeGreaterThan(0);
  expect([...visitor.uncaught, ...visitor.complaints]).toEqual([]);
});

// demand: 16
test("two pages chat over a WebSocket of TLS", async () => {
  const { base } = await secure();
  const chat = fresh("chat");
  const [one, other] = await pair(base, chat);
  for (const visitor of [one, other]) await visitor.connected("websocket");
  await one.publish(chat, "question");
  await other.received(chat, 1);
  await other.publish(chat, "answer");
  for (const visitor of [one, other]) {
    expect(await visitor.received(chat, 2)).toEqual(["question", "answer"]);
  }
});

// demand: 16
test.each<Transport>(["stream", "sse", "poll"])(
  "over %s two pages chat by HTTP/2 alone",
  async (transport) => {
    const { base } = await secure();
    const chat = fresh("chat");
    const [one, other] = await pair(base, chat);
    for (const visitor of [one, other]) {
      await visitor.use(transport);
      await visitor.connected(transport);
      // What came before is not looked at.
      await visitor.page.evaluate(() => performance.clearResourceTimings());
    }
    await one.publish(chat, "question");
    await other.received(chat, 1);
    await other.publish(chat, "answer");
    for (const visitor of [one, other]) {
      expect(await visitor.received(chat, 2)).toEqual(["question", "answer"]);
      // A request that goes on is not listed: the transport is left, which ends it.
      await visitor.use("websocket");
      await visitor.connected("websocket");
      const isDown = ([path]: [string, string]): boolean => !path.endsWith("/x");
      const isListed = async (): Promise<boolean> => (await requests(visitor)).some(isDown);
      if (transport !== "poll") await until("the stream is listed", isListed);
      const seen = await requests(visitor);
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.filter(([, protocol]) => protocol !== "h2")).toEqual([]);
    }
  },
);
