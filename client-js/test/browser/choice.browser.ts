/** The application chooses how it is connected: without WebSockets, or read-only. */
import { describe, expect, test } from "vitest";
import type { FeedOptions } from "../../src/index.ts";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

// demand: 12
test("a client that is allowed SSE and polls never opens a WebSocket", async () => {
  const chat = fresh("chat");
  const visitor = await Visitor.open();
  const sockets: string[] = [];
  visitor.page.on("websocket", (socket) => sockets.push(socket.url()));
  await visitor.connect({ transports: ["sse", "poll"] }, { [chat]: {} });
  await visitor.connected("sse");
  visitor.shim.cut();
  await until("it came back", async () => (await visitor.notes("resumed")).length > 0);
  await visitor.use("poll", "sse");
  await visitor.connected("poll");
  await visitor.publish(chat, "over polls");
  await visitor.use("sse", "poll");
  await visitor.connected("sse");
  await visitor.publish(chat, "over sse");

  expect(await visitor.received(chat, 2)).toEqual(["over polls", "over sse"]);
  expect(sockets).toEqual([]);
  expect(visitor.shim.heads.filter((head) => /upgrade: websocket/i.test(head))).toEqual([]);
});

/** What the page's feed has seen. */
interface Seen {
  data: unknown[];
  gaps: string[];
  cursor: string | undefined;
}

/** Opens a feed in the page; answers how to look at what it has seen. */
async function openFeed(
  visitor: Visitor,
  channel: string,
  options: Omit<FeedOptions, "env" | "signal"> = {},
): Promise<() => Promise<Seen>> {
  await visitor.page.addScriptTag({ url: "/realtime/feed.js" });
  await visitor.page.evaluate(
    ([channel, options]) => {
      const seen = { data: [] as unknown[], gaps: [] as string[] };
      const feed = Throughline.feed("/realtime", [channel], options);
      feed.on("event", ({ data }) => seen.data.push(data));
      feed.on("gap", ({ reason }) => seen.gaps.push(reason));
      Object.assign(globalThis, { look: () => ({ ...seen, cursor: feed.cursor }) });
    },
    [channel, options] as const,
  );
  return () => visitor.page.evaluate(() => (globalThis as unknown as { look(): Seen }).look());
}

describe("a feed", () => {
  const isFeed = (head: string): boolean => head.includes("/realtime/feed/");

  // spec: D4
  // demand: 5, 12, 78
  test("takes SSE, and resumes by Last-Event-ID after a cut", async () => {
    const channel = fresh("chat");
    const visitor = await Visitor.open();
    const base = nextServer();
    await publish(base, channel, { data: "before" });
    const look = await openFeed(visitor, channel, { since: "0" });
    await until("the first event", async () => (await look()).data.length === 1);
    const { cursor } = await look();

    visitor.shim.refuses = true;
    visitor.shim.cut();
    await publish(base, channel, { data: "missed" });
    visitor.shim.refuses = false;
    await until("what was missed", async () => (await look()).data.length === 2);
    await publish(base, channel, { data: "live" });
    await until("what is new", async () => (await look()).data.length === 3);

    expect(await look()).toMatchObject({ data: ["before", "missed", "live"], gaps: [] });
    const heads = visitor.shim.heads.filter(isFeed);
    expect(heads[0]).toMatch(/accept: text\/event-stream/i);
    expect(heads.at(-1)).toContain(`Last-Event-ID: ${cursor}`);
  });

  // spec: D5
  // demand: 11, 12, 81
  test("asks by requests where the page has no EventSource, and names a gap", async () => {
    const channel = fresh("chat");
    const noSource = (): void => {
      Reflect.deleteProperty(globalThis, "EventSource");
    };
    const visitor = await Visitor.open({ init: noSource });
    const base = nextServer();
    await publish(base, channel, { data: 1 });
    const look = await openFeed(visitor, channel, { since: "gone.1.0123456789abcdef" });
    await until("the gap is named", async () => (await look()).gaps.length > 0);
    for (const data of [2, 3]) await publish(base, channel, { data });
    await until("what is new", async () => (await look()).data.length >= 2);

    expect((await look()).gaps).toEqual(["epoch"]);
    expect((await look()).data.slice(-2)).toEqual([2, 3]);
  });

  // demand: 8, 13
  test("that asks every so often holds no connection between, and misses nothing", async () => {
    const channel = fresh("chat");
    const visitor = await Visitor.open();
    const base = nextServer();
    const look = await openFeed(visitor, channel, { every: 100, since: "0" });
    for (let n = 0; n < 20; n += 1) await publish(base, channel, { data: n });
    await until("everything", async () => (await look()).data.length >= 20);

    expect((await look()).data).toEqual(Array.from({ length: 20 }, (_, n) => n));
    const heads = visitor.shim.heads.filter(isFeed);
    expect(heads.length).toBeGreaterThan(1);
    expect(heads.filter((head) => !head.includes("wait=0"))).toEqual([]);
  });
});
