/** How the session is carried: opening, proving, moving, falling back, coming back. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

test("opens by one exchange and moves to a WebSocket that was proven", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(25);
  expect([client.state, client.transport]).toEqual(["connected", "poll"]);
  await world.advance(500);
  expect([client.state, client.transport]).toEqual(["connected", "websocket"]);
  expect(world.requests).toEqual(["x", "ws", "x"]);
});

test("channels asked for right after connect are part of the opening", async () => {
  const world = new World();
  world.connect().channel("chat:a");
  await world.advance(25);
  expect(world.gateway.seen[0]).toMatchObject({ l: "open", subs: [{ ch: "chat:a" }] });
});

test.each([
  ["stream", { ws: "refuse" }],
  ["stream", { ws: "hang" }],
  ["stream", { ws: "swallow" }],
  ["sse", { ws: "refuse", s: "swallow" }],
  ["poll", { ws: "swallow", s: "hang", e: "swallow" }],
] as const)("ends on %s where the network does %o", async (transport, fates) => {
  const world = new World();
  Object.assign(world.fates, fates);
  const client = world.connect();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(30_000);
  expect([client.state, client.transport]).toEqual(["connected", transport]);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect(got).toEqual([1]);
  await expect(publish(world, client.channel("chat:a"))).resolves.toMatchObject({
    duplicate: false,
  });
});

async function publish(
  world: World,
  channel: ReturnType<ReturnType<World["connect"]>["channel"]>,
): Promise<unknown> {
  const published = channel.publish("x");
  await world.advance(2000);
  return published;
}

test("works by polls with WebSocket, EventSource, page, storage and streaming bodies missing", async () => {
  const world = new World();
  const { env } = world;
  const fetch = (async (url: string, init: RequestInit) => {
    const response = await env.fetch?.(url, init);
    return { ok: true, text: () => response?.text() };
  }) as typeof env.fetch;
  const client = world.connect({
    env: { ...env, fetch, WebSocket: undefined, page: undefined, storage: undefined },
  });
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(10_000);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect([client.transport, got]).toEqual(["poll", [1]]);
});

test("a network that refuses every POST is opened through by a WebSocket", async () => {
  const world = new World();
  world.fates.x = "refuse";
  const client = world.connect();
  await world.advance(1000);
  expect([client.state, client.transport]).toEqual(["connected", "websocket"]);
});

test("no WebSocket is left connecting for more than four seconds, and one at a time", async () => {
  const world = new World();
  world.fates.ws = "hang";
  world.connect();
  await world.advance(1000);
  expect(world.connecting).toBe(1);
  await world.advance(3100);
  expect(world.connecting).toBe(0);
  for (let step = 0; step < 600; step++) {
    await world.advance(100);
    expect(world.connecting).toBeLessThanOrEqual(1);
  }
});

test("a link that dies falls back to polls at once, and climbs back within two seconds", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  client.cut();
  await world.advance(50);
  expect([client.state, client.transport]).toEqual(["connected", "poll"]);
  await world.advance(2000);
  expect([client.state, client.transport]).toEqual(["connected", "websocket"]);
  expect(world.gateway.sessions.size).toBe(1);
});

test("a silent link is abandoned after 1.35 intervals", async () => {
  // spec: M26
  const world = new World();
  const client = world.connect({ transports: ["stream", "poll"] });
  await world.advance(500);
  expect(client.transport).toBe("stream");
  await world.advance(7000);
  world.gateway.ping = false;
  await world.advance(7000 * 1.35 - 600);
  expect(client.transport).toBe("stream");
  await world.advance(600);
  expect(client.transport).toBe("poll");
});

test("a WebSocket that takes frames and answers nothing is abandoned within four seconds", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  const { session } = world;
  if (session.live) session.live.send = () => undefined;
  const published = client.channel("chat:a").publish(1);
  await world.advance(4500);
  expect(client.transport).toBe("poll");
  await expect(published).resolves.toMatchObject({ duplicate: false });
});

test("pings are answered by the count, over every transport", async () => {
  // spec: M25
  for (const transport of ["websocket", "stream"] as const) {
    const world = new World();
    const client = world.connect({ transports: [transport, "poll"] });
    client.channel("chat:a").on("event", () => undefined);
    await world.advance(500);
    world.gateway.publish("chat:a", 1);
    await world.advance(7100);
    const { session } = world;
    expect(session.acked).toBe(2);
    expect(session.handed).toEqual([]);
  }
});

test("a count that differs at a ping is repaired by a higher link", async () => {
  // spec: M25
  const world = new World();
  const client = world.connect();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  const { session } = world;
  const { live } = session;
  const send = live?.send;
  if (live) live.send = (frame) => ("t" in frame ? undefined : send?.(frame));
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  if (live && send) live.send = send;
  expect(got).toEqual([]);
  await world.advance(7100);
  expect(got).toEqual([1]);
  expect(client.transport).toBe("websocket");
});

test.each([
  ["poll", 10],
  ["poll", 250],
  ["poll", 800],
  ["stream", 250],
] as const)(
  "over %s with %d ms each way publishing all the time holds up nothing that comes, on two connections",
  async (transport, latencyMs) => {
    const world = new World();
    world.latencyMs = latencyMs;
    const client = world.connect({ transports: [transport, "poll"] });
    const got: unknown[] = [];
    const channel = client.channel("chat:a");
    channel.on("event", ({ data }) => got.push(data));
    await world.advance(10_000);
    const sent = Array.from({ length: 200 }, (_, n) => n);
    let most = 0;
    for (const n of sent) {
      void channel.publish(n);
      await world.advance(100);
      most = Math.max(most, world.open);
    }
    expect(got.length).toBeGreaterThan(150);
    expect(most).toBeLessThanOrEqual(2);
    await world.advance(10_000);
    expect(got).toEqual(sent);
    expect(client.transport).toBe(transport);
  },
);

test("use() moves at once between every two transports, and loses or repeats nothing", async () => {
  // spec: S4
  const world = new World();
  const client = world.connect();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  const order = [
    "sse",
    "websocket",
    "poll",
    "stream",
    "sse",
    "poll",
    "websocket",
    "stream",
    "websocket",
  ] as const;
  let sent = 0;
  for (const transport of order) {
    client.use([transport]);
    for (let n = 0; n < 10; n++) {
      world.gateway.publish("chat:a", ++sent);
      await world.advance(20);
    }
    await world.advance(500);
    expect(client.transport).toBe(transport);
  }
  expect(got).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  expect(world.gateway.sessions.size).toBe(1);
});

test("transports: [websocket] opens on a WebSocket and sends no POST", async () => {
  const world = new World();
  const client = world.connect({ transports: ["websocket"] });
  await world.advance(500);
  expect(client.transport).toBe("websocket");
  client.cut();
  await world.advance(1000);
  expect(client.transport).toBe("websocket");
  expect(new Set(world.requests)).toEqual(new Set(["ws"]));
  expect(world.gateway.sessions.size).toBe(1);
});

test("a stream that says rotate is replaced before it ends", async () => {
  const world = new World();
  const client = world.connect({ transports: ["stream", "poll"] });
  const states: unknown[] = [];
  await world.advance(500);
  client.on("state", ({ transport }) => states.push(transport));
  const { live } = world.session;
  live?.send({ l: "rotate" });
  await world.advance(500);
  expect(world.session.live).not.toBe(live);
  expect(states).toEqual([]);
});

test("where streams are cut at an age, each is replaced before that, after two that were", async () => {
  // spec: S3, D1
  const world = new World();
  world.cutMs = 6000;
  const client = world.connect({ transports: ["stream", "poll"] });
  const got: unknown[] = [];
  const cuts: number[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  client.on("state", ({ state }) => state === "reconnecting" && cuts.push(world.clock.now));
  await world.advance(500);
  for (let n = 0; n < 120; n++) {
    world.gateway.publish("chat:a", n);
    await world.advance(500);
  }
  expect(cuts.length).toBe(2);
  expect(client.transport).toBe("stream");
  expect(got).toEqual(Array.from({ length: 120 }, (_, n) => n));

  // Where they live longer they are left alone for longer.
  world.cutMs = Infinity;
  await world.advance(3_600_000);
  const before = world.requests.filter((kind) => kind === "s").length;
  await world.advance(600_000);
  expect(world.requests.filter((kind) => kind === "s").length - before).toBeLessThan(10);
  expect(cuts.length).toBe(2);
});

test("a link that the page itself gives up is no cut, and nothing is replaced for it", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  for (let n = 0; n < 3; n++) {
    client.use(["websocket"]);
    await world.advance(6000);
    client.use(["poll"]);
    await world.advance(1000);
  }
  client.use(["websocket"]);
  await world.advance(500);
  const before = world.requests.filter((kind) => kind === "ws").length;
  await world.advance(60_000);
  expect(world.requests.filter((kind) => kind === "ws").length).toBe(before);
  expect(client.evidence.observed.filter(({ outcome }) => outcome === "cut")).toEqual([]);
});

test("gives up after maxRetries, and says why", async () => {
  const world = new World();
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "refuse";
  const client = world.connect({ maxRetries: 3 });
  const reasons: unknown[] = [];
  client.on("state", ({ state, reason }) => reasons.push([state, reason]));
  const published = client.channel("chat:a").publish(1);
  published.catch(() => undefined);
  await world.advance(60_000);
  expect(client.state).toBe("failed");
  expect(reasons.at(-1)).toEqual(["failed", "unreachable"]);
  await expect(published).rejects.toMatchObject({ code: "failed" });
});

test("a retry hint of the gateway wins over the backoff", async () => {
  const world = new World();
  const { exchange } = world.gateway;
  let refusals = 0;
  world.gateway.exchange = (frames, nonce, answer) => {
    if (refusals++ > 0) return exchange.call(world.gateway, frames, nonce, answer);
    answer([{ l: "error", code: "draining", message: "", retry_ms: 5000, scope: "link" }]);
  };
  const client = world.connect();
  await world.advance(4900);
  expect(client.state).toBe("connecting");
  await world.advance(500);
  expect(client.state).toBe("connected");
});

test("online ends the wait for the next try", async () => {
  const world = new World();
  const client = world.connect({ backoff: { base: 20_000 } });
  await world.advance(500);
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "refuse";
  world.cut();
  await world.advance(2000);
  expect(client.state).toBe("reconnecting");
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "ok";
  world.page("online");
  await world.advance(100);
  expect(client.state).toBe("connected");
});

test("a link that died while the page slept is found within the verdict", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  const { live } = world.session;
  if (live) live.send = () => undefined;
  world.page("pageshow", true);
  await world.advance(1600);
  expect(client.transport).toBe("poll");
});

test.each(["sse", "stream", "websocket"] as const)(
  "whenever a link over %s is cut, the page is told that it came back",
  async (transport) => {
    const failed: string[] = [];
    for (let cutAt = 0; cutAt < 700; cutAt += 3) {
      const world = new World();
      world.latencyMs = 30;
      const client = world.connect({ transports: [transport, "poll"] });
      let away = false;
      client.on("state", ({ state }) => {
        away ||= state === "reconnecting";
      });
      client.on("resumed", () => {
        away = false;
      });
      await world.advance(cutAt);
      world.cut();
      await world.advance(12_000);
      if (away || client.transport !== transport) failed.push(`cut after ${cutAt} ms`);
    }
    expect(failed).toEqual([]);
  },
);
