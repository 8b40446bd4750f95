/** The core as a page loads it: a chat over what the network lets through. */
import { describe, expect, test } from "vitest";
import * as core from "../../src/core.ts";
import { World } from "../fake/world.ts";

/** What the gateway says of itself; the core has no defaults for it. */
const HELLO = {
  ping_ms: { visible: 7000, hidden: 25_000 },
  window_ms: 120_000,
  hold_ms: 20_000,
  outbox: { frames: 1024, bytes: 1 << 20 },
  limits: { frame_bytes: 65_536, frames: 100 },
};

function open(world: World, options: core.CoreOptions = {}): core.CoreClient {
  world.gateway.hello = HELLO;
  return core.connect("http://gateway.test/realtime", { env: world.env, ...options });
}

/** What a client's channel brings. */
function reads(client: core.CoreClient, name: string): unknown[] {
  const got: unknown[] = [];
  const channel = client.channel(name);
  channel.on("event", ({ data }) => got.push(data));
  channel.on("gap", ({ reason }) => got.push(reason));
  return got;
}

test("a chat begins over an exchange within a second, and goes on over a WebSocket", async () => {
  const world = new World();
  const [alice, bob] = [open(world), open(world)];
  const got = reads(bob, "chat:a");
  reads(alice, "chat:a");
  const said = alice.channel("chat:a").publish("hello");
  await world.advance(500);
  await expect(said).resolves.toMatchObject({ duplicate: false });
  expect([world.requests[0], alice.transport, got]).toEqual(["x", "websocket", ["hello"]]);
});

describe.each(["refuse", "hang", "swallow"] as const)("where WebSockets %s", (fate) => {
  test("the chat is over polls", async () => {
    const world = new World();
    world.fates.ws = fate;
    const client = open(world);
    const got = reads(client, "chat:a");
    await world.advance(1000);
    const said = client.channel("chat:a").publish(1);
    await world.advance(1000);
    await said;
    world.gateway.publish("chat:a", 2);
    await world.advance(1000);
    expect([client.state, client.transport, got]).toEqual(["connected", "poll", [1, 2]]);
  });
});

test("where no POST comes through it opens on a WebSocket", async () => {
  const world = new World();
  world.fates.x = "refuse";
  const client = open(world);
  await world.advance(1000);
  expect(client.transport).toBe("websocket");
});

test("nothing is lost, repeated or reordered over cuts, on either transport", async () => {
  const world = new World();
  const client = open(world, { backoff: { base: 10, cap: 100 } });
  const got = reads(client, "chat:a");
  const all: number[] = [];
  await world.advance(500);
  for (let n = 0; n < 200; n++) {
    all.push(n);
    world.gateway.publish("chat:a", n);
    if (n % 7 === 3) world.cut();
    world.fates.ws = n % 60 < 30 ? "ok" : "refuse";
    await world.advance(20 + Math.floor(world.random() * 200));
  }
  await world.advance(30_000);
  expect(got).toEqual(all);
});

test("what is published while nothing goes through is stored once, in order, on return", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(500);
  world.fates.ws = world.fates.x = "refuse";
  world.cut();
  const channel = client.channel("chat:a");
  const stored = Promise.all([1, 2, 3].map((data) => channel.publish(data)));
  await world.advance(5000);
  expect(client.state).toBe("reconnecting");
  world.fates.ws = world.fates.x = "ok";
  await world.advance(30_000);
  await stored;
  expect(world.gateway.log("chat:a").events.map((event) => event["data"])).toEqual([1, 2, 3]);
});

test("a link that is silent is noticed, and the session goes on", async () => {
  const world = new World();
  const client = open(world);
  const got = reads(client, "chat:a");
  await world.advance(500);
  world.gateway.ping = false;
  await world.advance(10_000);
  world.gateway.publish("chat:a", 1);
  await world.advance(5000);
  expect(got).toEqual([1]);
});

test("a refused token is asked for again, and two refusals of the new one end in `failed`", async () => {
  const world = new World();
  world.gateway.tokens = new Set(["good"]);
  const reasons: string[] = [];
  const auth = async (reason: string): Promise<string> => {
    reasons.push(reason);
    return reasons.length > 1 ? "good" : "bad";
  };
  const client = open(world, { auth });
  await world.advance(1000);
  expect([client.state, reasons]).toEqual(["connected", ["open", "refused"]]);
  const refused = open(world, { auth: async () => "bad" });
  await world.advance(30_000);
  expect(refused.state).toBe("failed");
});

test("close() ends the session, and what waits is refused with `closed`", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(500);
  const waits = client.channel("chat:a").publish(1);
  const closed = client.close();
  await expect(waits).rejects.toMatchObject({ code: "closed" });
  await world.advance(2000);
  await closed;
  expect([client.state, world.gateway.seen.at(-1)]).toEqual(["closed", { l: "close" }]);
});
