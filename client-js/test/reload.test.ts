/** A page that goes away and comes back. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

test("pagehide says leaving, in one beacon at the live link", async () => {
  const world = new World();
  world.connect();
  await world.advance(500);
  world.unload();
  expect(world.beacons).toEqual([
    [expect.objectContaining({ l: "attach", link: world.session.link }), { l: "leaving" }],
  ]);
  expect(world.session.leaving).toBe(true);
});

test("a reload goes on with the session: nothing lost, nothing twice", async () => {
  const world = new World();
  const first = world.connect();
  const got: unknown[] = [];
  first.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  world.unload();
  world.gateway.publish("chat:a", 2);
  await world.advance(100);
  const second = world.connect();
  const resumed: unknown[] = [];
  second.on("resumed", (value) => resumed.push(value));
  second.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(1000);
  world.gateway.publish("chat:a", 3);
  await world.advance(100);
  expect(got).toEqual([1, 2, 3]);
  expect(world.gateway.sessions.size).toBe(1);
  expect(resumed).toEqual([{ recovered: true }]);
  expect(second.me).toEqual({ id: "me" });
  const published = second.channel("chat:a").publish(4);
  await world.advance(100);
  await expect(published).resolves.toMatchObject({ duplicate: false });
  expect(got).toEqual([1, 2, 3, 4]);
});

test("a page that took nothing of what came opens a new session with its positions", async () => {
  const world = new World();
  const first = world.connect();
  first.channel("chat:a");
  await world.advance(500);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  world.unload();
  const got: unknown[] = [];
  world
    .connect()
    .channel("chat:a")
    .on("event", ({ data }) => got.push(data));
  await world.advance(1000);
  expect(world.gateway.sessions.size).toBe(2);
  expect(got).toEqual([1]);
});

test("a page that crashed, or a tab that was duplicated, opens a new session with the positions", async () => {
  const world = new World();
  const first = world.connect();
  first.channel("chat:a").on("event", () => undefined);
  await world.advance(500);
  world.gateway.publish("chat:a", 1);
  await world.advance(2000);
  world.gateway.publish("chat:a", 2);
  const got: unknown[] = [];
  const copy = world.connect();
  copy.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(1000);
  expect(got).toEqual([2]);
  expect(first.state).toBe("connected");
  expect(world.gateway.sessions.size).toBe(2);
});

test("presence is whole again after a reload, and nobody saw a leave", async () => {
  // spec: R3
  const world = new World();
  world.connect().channel("chat:a", { presence: true });
  await world.advance(500);
  world.unload();
  const channel = world.connect().channel("chat:a", { presence: true });
  const changes: unknown[] = [];
  channel.on("presence", ({ kind }) => changes.push(kind));
  await world.advance(500);
  expect([...channel.presence.members.keys()]).toEqual(["me"]);
  expect(changes).toEqual(["members"]);
  expect([...world.session.subs]).toEqual(["chat:a"]);
});

test("a state channel is whole again after a reload", async () => {
  const world = new World();
  world.connect().channel("state:a");
  await world.advance(500);
  world.gateway.publish("state:a", 1, "x", "k1");
  world.gateway.publish("state:a", 2, "y", "k2");
  const page = world.connect({ resume: false });
  await page.close();
  await world.advance(100);
  world.unload();
  const got: unknown[] = [];
  world
    .connect()
    .channel("state:a")
    .on("event", ({ data, key }) => got.push([key, data]));
  await world.advance(1000);
  expect(got).toEqual([
    ["k1", 1],
    ["k2", 2],
  ]);
});

test("channels that the new page does not ask for end after a while", async () => {
  const world = new World();
  world
    .connect()
    .channel("chat:a")
    .on("event", () => undefined);
  await world.advance(500);
  world.unload();
  await world.advance(100);
  world.connect();
  await world.advance(1000);
  expect([...world.session.subs]).toEqual(["chat:a"]);
  await world.advance(31_000);
  expect([...world.session.subs]).toEqual([]);
});

test("a reload does not go on being away where nobody says so", async () => {
  const world = new World();
  world.connect().away(true);
  await world.advance(1000);
  expect(world.session.away).toBe(true);
  world.unload();
  const client = world.connect();
  await world.advance(1000);
  expect([world.gateway.sessions.size, world.session.away]).toEqual([1, false]);
  client.away(true);
  await world.advance(1000);
  expect(world.session.away).toBe(true);
});

test("resume: false keeps nothing", async () => {
  const world = new World();
  world.connect({ resume: false }).channel("chat:a");
  await world.advance(5000);
  world.unload();
  expect(world.stored.size).toBe(0);
});

test.each(["websocket", "stream", "poll"] as const)(
  "close() over %s forgets the session",
  async (transport) => {
    const world = new World();
    const client = world.connect({ transports: [transport] });
    await world.advance(5000);
    const closed = client.close();
    await world.advance(5000);
    await closed;
    expect(world.stored.size).toBe(0);
  },
);

test("what is stored and not ours is ignored", async () => {
  for (const text of [
    "",
    "{",
    "5",
    "null",
    '{"channels":5}',
    '{"channels":[null,5,{"ch":7}],"session":{}}',
  ]) {
    const world = new World();
    world.stored.set("throughline:http://gateway.test/realtime", text);
    const client = world.connect();
    await world.advance(500);
    expect(client.state).toBe("connected");
  }
});
