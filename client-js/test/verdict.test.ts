/** What is known of a network from before: used, shared by tabs, forgotten in time. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

const DAY_MS = 24 * 3_600_000;
const KINDS = ["ws", "s", "e", "x"] as const;

/** How often that kind was asked for. */
const asked = (world: World, kind: string): number =>
  world.requests.filter((other) => other === kind).length;

/** A page that went through everything, and left. */
async function visited(fates: Partial<World["fates"]> = {}, stayMs = 500): Promise<World> {
  const world = new World();
  Object.assign(world.fates, fates);
  const client = world.connect({ resume: false });
  await world.advance(stayMs);
  void client.close();
  await world.advance(2000);
  world.requests.length = 0;
  return world;
}

test("where a WebSocket was proven the next page opens on one, and needs no exchange", async () => {
  const world = await visited();
  const client = world.connect({ resume: false });
  const got: unknown[] = [];
  client.channel("chat:a", { since: "0" }).on("event", ({ data }) => got.push(data));
  world.gateway.publish("chat:a", 1);
  await world.advance(45);
  expect([client.transport, got]).toEqual(["websocket", [1]]);
  await world.advance(1000);
  expect(world.requests).toEqual(["ws"]);
});

test.each(["hang", "swallow"] as const)(
  "a WebSocket that meets %s is hedged by an exchange after 250 ms, and the session is one",
  async (fate) => {
    const world = await visited();
    world.fates.ws = fate;
    const client = world.connect({ resume: false });
    const got: unknown[] = [];
    client.channel("chat:a").on("event", ({ data }) => got.push(data));
    await world.advance(245);
    expect(client.state).toBe("connecting");
    await world.advance(30);
    expect([client.state, client.transport]).toEqual(["connected", "poll"]);
    world.gateway.publish("chat:a", 1);
    await world.advance(10_000);
    expect([client.transport, got]).toEqual(["stream", [1]]);
  },
);

test("a WebSocket that is refused is followed by an exchange at once", async () => {
  const world = await visited();
  world.fates.ws = "refuse";
  const client = world.connect({ resume: false });
  await world.advance(60);
  expect(client.state).toBe("connected");
});

test.each([
  ["exchange", 245, "poll"],
  ["WebSocket", 225, "websocket"],
] as const)(
  "where both ways answer and the %s is faster, the other's session is never taken up",
  async (_, delayMs, transport) => {
    const world = await visited();
    const { socket } = world.gateway;
    world.gateway.socket = (frame, nonce, sink, session) => {
      if ("l" in frame && frame.l === "open") {
        const open = () => void socket.call(world.gateway, frame, nonce, sink, session);
        world.clock.setTimeout(open, delayMs);
        return session;
      }
      return socket.call(world.gateway, frame, nonce, sink, session);
    };
    const client = world.connect({ resume: false });
    const got: unknown[] = [];
    client.channel("chat:a").on("event", ({ data }) => got.push(data));
    await world.advance(272);
    expect([client.state, client.transport]).toEqual(["connected", transport]);
    await world.advance(2000);
    for (const n of [1, 2, 3]) world.gateway.publish("chat:a", n);
    await world.advance(2000);
    expect([client.state, got]).toEqual(["connected", [1, 2, 3]]);
  },
);

test("a verdict is not believed after a day, nor on another network", async () => {
  for (const forget of [
    async (world: World) => {
      world.clock.now += DAY_MS;
    },
    async (world: World) => {
      const client = world.connect({ transports: ["poll"], resume: false });
      await world.advance(100);
      world.page("change");
      void client.close();
      await world.advance(2000);
      world.requests.length = 0;
    },
  ]) {
    const world = await visited();
    await forget(world);
    world.connect({ resume: false });
    await world.advance(10);
    expect(world.requests).toEqual(["x"]);
  }
});

test("one failure is no verdict; two that are 5 s apart are, and the next page leaves that transport for later", async () => {
  const once = await visited({ ws: "refuse" }, 500);
  once.connect({ resume: false });
  await once.advance(500);
  expect(asked(once, "ws")).toBe(1);

  const twice = await visited({ ws: "refuse" }, 6000);
  const client = twice.connect({ resume: false });
  await twice.advance(4000);
  expect([client.transport, asked(twice, "ws")]).toEqual(["stream", 0]);
  twice.fates.ws = "ok";
  await twice.advance(70_000);
  expect(client.transport).toBe("websocket");
});

test("failures while no exchange works either are no verdict", async () => {
  const world = await visited({ ws: "refuse", x: "refuse", s: "refuse", e: "refuse" }, 30_000);
  for (const kind of KINDS) world.fates[kind] = "ok";
  world.connect({ resume: false });
  await world.advance(500);
  expect(asked(world, "ws")).toBe(1);
});

test("what was never proven is tried again after 5 s, then 1, 5 and 30 min", async () => {
  const world = new World();
  for (const kind of ["ws", "s", "e"] as const) world.fates[kind] = "refuse";
  world.connect();
  const at: number[] = [];
  for (let second = 0; second < 4000; second++) {
    const before = asked(world, "s");
    await world.advance(1000);
    if (asked(world, "s") > before) at.push(second);
  }
  expect(at).toEqual([0, 5, 65, 365, 2165, 3965]);
});

test("a link that was proven and lost is tried for within 30 s, for 5 min, and on a change of network", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(60_000);
  for (const kind of ["ws", "s", "e"] as const) world.fates[kind] = "refuse";
  client.cut();
  let last = world.clock.now;
  for (let second = 0; second < 290; second++) {
    const before = asked(world, "ws");
    await world.advance(1000);
    if (asked(world, "ws") > before) last = world.clock.now;
    expect(world.clock.now - last).toBeLessThanOrEqual(31_000);
  }
  await world.advance(10 * 60_000);
  world.fates.ws = "ok";
  world.page("change");
  await world.advance(200);
  expect(client.transport).toBe("websocket");
});

test("tabs prove one at a time, and each is connected meanwhile", async () => {
  const world = new World();
  world.fates.ws = "hang";
  const clients = Array.from({ length: 10 }, () => world.connect({ resume: false }));
  for (let step = 0; step < 300; step++) {
    await world.advance(100);
    expect(world.connecting).toBeLessThanOrEqual(1);
    expect(clients.every(({ state }) => state === "connected")).toBe(true);
  }
});
