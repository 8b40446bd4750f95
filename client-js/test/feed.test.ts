/** The plain feed: by `EventSource`, by requests that wait, and by requests every so often. */
import { expect, test } from "vitest";
import { feed } from "../src/feed.ts";
import type { Env, Feed, FeedOptions, Source } from "../src/index.ts";
import { Clock } from "./fake/clock.ts";

const position = (offset: number): string => `e.${offset}.0000000000000000`;
const event = (offset: number): Record<string, unknown> => ({
  t: "event",
  ch: "chat:a",
  pos: position(offset),
  id: `${offset}`,
  at: 1,
  data: offset,
});

class FakeSource implements Source {
  static all: FakeSource[] = [];
  readyState = 1;
  onmessage: Source["onmessage"] = null;
  onerror: Source["onerror"] = null;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
    FakeSource.all.push(this);
  }

  tell(frame: unknown, lastEventId = ""): void {
    this.onmessage?.({ data: JSON.stringify(frame), lastEventId });
  }

  close(): void {
    this.readyState = 2;
  }
}

interface World {
  clock: Clock;
  feed: Feed;
  got: unknown[];
  urls: URL[];
}

/** A feed whose requests are answered by the pages, one after the other, and then by nothing new. */
function open(pages: unknown[], options: FeedOptions = {}, source?: Env["EventSource"]): World {
  const clock = new Clock();
  const urls: URL[] = [];
  FakeSource.all = [];
  const fetch = (async (url: string) => {
    urls.push(new URL(url));
    const page = pages.shift();
    if (page === undefined)
      await new Promise((resolve) => clock.setTimeout(() => resolve(0), 20_000));
    if (page instanceof Error) throw page;
    if (page instanceof ReadableStream) return new Response(page);
    return new Response(JSON.stringify(page ?? { events: [], cursor: position(9), more: false }));
  }) as unknown as Env["fetch"];
  const env: Partial<Env> = {
    fetch,
    EventSource: source,
    setTimeout: (call, ms) => clock.setTimeout(call, ms),
    clearTimeout: (timer) => clock.clearTimeout(timer),
  };
  const opened = feed("http://gateway.test/realtime", ["chat:a", "b+c"], { ...options, env });
  const got: unknown[] = [];
  opened.on("event", ({ data }) => got.push(data));
  opened.on("gap", ({ reason }) => got.push(reason));
  opened.on("error", ({ code }) => got.push(code));
  return { clock, feed: opened, got, urls };
}

test("an EventSource brings events once, and its cursor goes on", async () => {
  const { clock, feed, got } = open([], { since: "0" }, FakeSource);
  await clock.settle();
  const [source] = FakeSource.all;
  expect(source?.url).toMatch(/\/realtime\/feed\/\w+\?channel=chat%3Aa&channel=b%2Bc&since=0$/);
  source?.tell({ l: "hello", nonce: "n", via: "v" });
  source?.tell(event(1), "c1");
  source?.tell(event(1), "c1");
  source?.tell({ t: "gap", ch: "chat:a", reason: "trimmed", pos: position(5) }, "c5");
  source?.tell(event(6), "c6");
  source?.onmessage?.({ data: "{", lastEventId: "" });
  expect(got).toEqual([1, "trimmed", 6]);
  expect(feed.cursor).toBe("c6");
});

test("a feed that is closed while an answer comes hands over nothing of it", async () => {
  let end = (): void => undefined;
  const slow = new ReadableStream<Uint8Array>({
    start(body) {
      end = () => {
        const page = { events: [event(1)], cursor: position(1), more: false };
        body.enqueue(new TextEncoder().encode(JSON.stringify(page)));
        body.close();
      };
    },
  });
  const { feed, got, clock, urls } = open([slow], { every: 1000 });
  await clock.settle();
  feed.close();
  end();
  await clock.advance(2000);
  expect(got).toEqual([]);
  expect(urls).toHaveLength(1);
});

test("an EventSource that stops for good is followed by requests from its cursor", async () => {
  const { clock, got, urls } = open(
    [{ events: [event(1), event(2)], cursor: position(2), more: false }],
    {},
    FakeSource,
  );
  await clock.settle();
  const [source] = FakeSource.all;
  source?.tell(event(1), position(1));
  source?.close();
  source?.onerror?.({} as never);
  await clock.advance(100);
  expect(urls[0]?.searchParams.get("since")).toBe(position(1));
  expect(urls[0]?.searchParams.get("wait")).toBe("20000");
  expect(urls[1]?.searchParams.get("since")).toBe(position(2));
  expect(got).toEqual([1, 2]);
});

test("every: requests that do not wait, so many milliseconds apart, and at once while there is more", async () => {
  const { clock, feed, got, urls } = open(
    [
      { events: [event(1)], cursor: position(1), more: true },
      { events: [event(2)], cursor: position(2), more: false, notes: [] },
      {
        events: [event(9)],
        cursor: position(9),
        notes: [{ t: "gap", ch: "chat:a", reason: "epoch", pos: position(8) }],
      },
    ],
    { every: 5000 },
    FakeSource,
  );
  await clock.advance(4900);
  expect(urls.map((url) => url.searchParams.get("wait"))).toEqual(["0", "0"]);
  await clock.advance(200);
  expect(got).toEqual([1, 2, "epoch", 9]);
  feed.close();
  await clock.advance(60_000);
  expect(urls).toHaveLength(3);
});

test("failures are told, and tried again later", async () => {
  const { clock, got, urls } = open([
    new TypeError("Failed to fetch"),
    { l: "error", code: "forbidden", message: "no", scope: "link" },
    { events: [event(1)], cursor: position(1), more: false },
  ]);
  await clock.advance(5000);
  expect(got).toEqual(["unreachable", "forbidden", 1]);
  expect(urls.length).toBeGreaterThan(2);
});

test("a retry hint of the gateway wins over the backoff", async () => {
  // spec: B4
  const { clock, got, urls } = open([
    { l: "error", code: "rate_limited", message: "slow down", scope: "link", retry_ms: 30_000 },
    { events: [event(1)], cursor: position(1), more: false },
  ]);
  await clock.advance(29_000);
  expect(urls).toHaveLength(1);
  await clock.advance(2000);
  expect(got).toEqual(["rate_limited", 1]);
});

test("answers that come at once with nothing, as from a cache, do not make it ask at once", async () => {
  const empty = { events: [], cursor: position(1), more: false };
  const { clock, urls } = open(Array(1000).fill(empty));
  await clock.advance(3000);
  expect(urls.length).toBeLessThan(20);
});

test("for await ends with the signal", async () => {
  const control = new AbortController();
  const { clock, feed } = open(
    [{ events: [event(1), event(2)], cursor: position(2), more: false }],
    {
      signal: control.signal,
    },
  );
  const events = feed[Symbol.asyncIterator]();
  await clock.settle();
  expect((await events.next()).value).toMatchObject({ data: 1, channel: "chat:a" });
  control.abort();
  expect((await events.next()).value).toMatchObject({ data: 2 });
  expect((await events.next()).done).toBe(true);
});
