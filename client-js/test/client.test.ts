/** What the application is handed, and asks for. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

test("an iterator that begins after the end has none to wait for", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  channel.unsubscribe();
  const again = client.channel("chat:a");
  await client.close();
  for (const ended of [channel, again, client.channel("chat:b")]) {
    for await (const event of ended) expect(event).toBeUndefined();
  }
});

test("events that come before a listener are kept for it", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  await world.advance(100);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  const got: unknown[] = [];
  channel.on("event", ({ data }) => got.push(data));
  world.gateway.publish("chat:a", 2);
  await world.advance(100);
  expect(got).toEqual([1, 2]);
});

test("more than is kept becomes one gap", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  await world.advance(100);
  for (let n = 1; n <= 1500; n++) world.gateway.publish("chat:a", n);
  await world.advance(1000);
  const got: unknown[] = [];
  channel.on("gap", ({ reason, position }) => got.push([reason, position.split(".")[1]]));
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(100);
  const [gap, first] = got;
  expect(gap).toEqual(["overflow", String(Number(first) - 1)]);
  expect(got.slice(1)).toEqual(Array.from({ length: got.length - 1 }, (_, n) => Number(first) + n));
  expect(got.at(-1)).toBe(1500);
});

test("what is kept stays bounded where the last of it is a mark that all was caught up", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  await world.advance(100);
  for (let n = 1; n <= 999; n++) world.gateway.publish("chat:a", n);
  world.session.push({ t: "caught_up", ch: "chat:a" });
  for (let n = 1000; n <= 2000; n++) world.gateway.publish("chat:a", n);
  await world.advance(1000);
  const got: unknown[] = [];
  channel.on("gap", ({ position }) => got.push(position.split(".")[1]));
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(100);
  expect(got).toEqual(["1998", 1999, 2000]);
});

test("for await hands over each event, and a slow one gets a gap", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  const gaps: unknown[] = [];
  client.on("gap", ({ reason, channel: name }) => gaps.push([name, reason]));
  const events = channel[Symbol.asyncIterator]();
  await world.advance(100);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect((await events.next()).value).toMatchObject({ data: 1 });
  for (let n = 2; n <= 1200; n++) world.gateway.publish("chat:a", n);
  await world.advance(1000);
  expect(gaps).toEqual([["chat:a", "overflow"]]);
  expect((await events.next()).value).toMatchObject({ data: 1002 });
  channel.unsubscribe();
  let last: unknown;
  for await (const { data } of { [Symbol.asyncIterator]: () => events }) last = data;
  expect(last).toBe(1200);
});

test("a listener that throws is reported, and stops nobody", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  const got: unknown[] = [];
  channel.on("event", () => {
    throw new Error("mine");
  });
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(100);
  world.gateway.publish("chat:a", 1);
  world.gateway.publish("chat:a", 2);
  await world.advance(100);
  expect(got).toEqual([1, 2]);
  expect(world.reports).toHaveLength(2);
  expect(world.session.acked + world.session.handed.length).toBe(3);
});

test("the same name is the same channel, and is subscribed once", async () => {
  const world = new World();
  const client = await world.connected();
  expect(client.channel("chat:a")).toBe(client.channel("chat:a"));
  await world.advance(100);
  const subscribes = world.gateway.seen.filter((frame) => "t" in frame && frame.t === "subscribe");
  expect(subscribes).toHaveLength(1);
});

test("unsubscribe ends the events; the name can be taken again", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  const channel = client.channel("chat:a");
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(100);
  channel.unsubscribe();
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  world.gateway.publish("chat:a", 2);
  client.channel("chat:a").on("event", ({ data }) => got.push(`again ${data}`));
  await world.advance(100);
  world.gateway.publish("chat:a", 3);
  await world.advance(100);
  expect(got).toEqual(["again 3"]);
});

test.each(["websocket", "stream", "poll"] as const)(
  "a channel that is taken again from an earlier position misses nothing that the one before was sent, over %s",
  async (transport) => {
    // spec: D1, D2, D6
    const world = new World();
    const client = world.connect({ transports: [transport] });
    const before = client.channel("chat:a");
    await world.advance(1000);
    for (const data of [1, 2, 3]) world.gateway.publish("chat:a", data);
    await world.advance(100);
    before.unsubscribe();
    // On its way down before the gateway hears that.
    world.gateway.publish("chat:a", 4);
    const got: unknown[] = [];
    const told: string[] = [];
    const again = client.channel("chat:a", {
      since: world.gateway.position(world.gateway.log("chat:a"), 1),
    });
    again.on("event", ({ data }) => got.push(data));
    again.on("gap", ({ reason }) => told.push(reason));
    again.on("subscribed", ({ position }) => told.push(position));
    await world.advance(1000);
    world.gateway.publish("chat:a", 5);
    await world.advance(1000);
    expect(got).toEqual([2, 3, 4, 5]);
    expect(told).toEqual(["e1.1.0000000000000001"]);
  },
);

test("a channel that is given up before the session is open stays given up", async () => {
  const world = new World();
  const client = world.connect();
  const channel = client.channel("chat:a");
  await world.advance(5);
  channel.unsubscribe();
  await world.advance(1000);
  world.gateway.lose();
  world.cut();
  await world.advance(5000);
  expect(client.state).toBe("connected");
  expect([...world.session.subs]).toEqual([]);
});

test("a subscription that is refused is an error with its channel", async () => {
  const world = new World();
  const client = world.connect();
  const errors: unknown[] = [];
  client.on("error", ({ code, channel }) => errors.push([code, channel]));
  client.channel("forbidden:a");
  await world.advance(500);
  client.channel("forbidden:b");
  await world.advance(500);
  expect(errors).toEqual([
    ["forbidden", "forbidden:a"],
    ["forbidden", "forbidden:b"],
  ]);
});

test("presence follows the snapshot and what comes after it", async () => {
  // spec: M35
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a", { presence: true });
  const changes: unknown[] = [];
  channel.presence.on("change", ({ kind }) => changes.push(kind));
  await world.advance(100);
  const member = (id: string, state = "online"): Record<string, unknown> => ({ id, state });
  for (const frame of [
    {
      t: "members",
      ch: "chat:a",
      v: 5,
      members: [member("m1"), member("__proto__"), { id: 7 }, null],
    },
    { t: "join", ch: "chat:a", v: 5, member: member("old") },
    { t: "join", ch: "chat:a", v: 6, member: member("m2") },
    { t: "update", ch: "chat:a", v: 7, member: member("m2", "away") },
    { t: "leave", ch: "chat:a", v: 8, id: "m1" },
    { t: "leave", ch: "chat:a", v: 9, id: "nobody" },
  ]) {
    world.session.push(frame);
  }
  await world.advance(100);
  expect([...channel.presence.members.keys()]).toEqual(["__proto__", "m2"]);
  expect(channel.presence.members.get("m2")?.state).toBe("away");
  expect(channel.presence.count).toBe(2);
  expect(changes).toEqual(["members", "join", "update", "leave"]);
});

test("where presence of a channel ends its members are gone, and the subscription goes on", async () => {
  // spec: M39
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a", { presence: true });
  const errors: unknown[] = [];
  const got: unknown[] = [];
  client.on("error", ({ code, channel, hint }) => errors.push([code, channel, hint]));
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(100);
  const member = { id: "m1", state: "online" };
  world.session.push({ t: "members", ch: "chat:a", v: 5, members: [member] });
  world.session.push({ t: "unwatched", ch: "chat:a", code: "forbidden" });
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect(errors).toEqual([["forbidden", "chat:a", "unwatched"]]);
  expect([channel.presence.count, got]).toEqual([0, [1]]);
  world.gateway.lose();
  world.cut();
  await world.advance(3000);
  const opens = world.gateway.seen.filter((frame) => "l" in frame && frame.l === "open");
  expect(opens[1]).toMatchObject({ subs: [{ ch: "chat:a", presence: false }] });
});

test("hostile frames throw nothing into the application and end nothing", async () => {
  const world = new World();
  const client = await world.connected();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(100);
  const hostile = [
    {},
    { t: "event" },
    { t: "event", ch: "__proto__", pos: "e.1.0000000000000000", id: "x", at: 0, data: {} },
    { t: "event", ch: "chat:a", pos: "garbage", id: "x", at: 0, data: 0 },
    { t: "members", ch: "chat:a", v: 1, members: "x" },
    { t: "join", ch: "chat:a", v: 2 },
    { t: "ok", re: 999 },
    { t: "error", re: "x", code: 5 },
    { t: "gap", ch: "constructor", reason: {}, pos: "x" },
    { t: 7 },
    { t: "caught_up", ch: 5 },
  ];
  for (const frame of hostile) world.session.push(frame);
  const links = ["hello", "attached", "echo", "superseded", "rotate", "unheard"];
  for (const l of links) world.session.live?.send({ l } as never);
  world.gateway.publish("chat:a", 1);
  await world.advance(7500);
  expect(got).toEqual([1]);
  expect(world.reports).toEqual([]);
  expect(client.transport).toBe("websocket");
  expect(world.gateway.sessions.size).toBe(1);
});

test("presence of users, history and feed tickets are asked for in one frame each", async () => {
  const world = new World();
  const client = await world.connected();
  world.gateway.publish("chat:a", 1);
  const asked = Promise.all([
    client.presence(["u1"]),
    client.channel("chat:a").history(),
    client.feedTicket(["chat:a"]),
  ]);
  await world.advance(100);
  const [users, history, ticket] = await asked;
  expect(users.get("u1")).toEqual({ state: "online", sessions: 2, lastSeen: 5 });
  expect(history.events.map(({ data }) => data)).toEqual([1]);
  expect(ticket).toEqual({ ticket: "ft", expiresMs: 1000 });
});

test("history says where what lies after a position is not retained", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  world.gateway.publish("chat:a", 1);
  world.gateway.log("chat:a").trimmed = 1;
  const asked = Promise.all([
    channel.history({ since: "e1.0.0000000000000000" }),
    channel.history(),
  ]);
  await world.advance(100);
  const [lost, whole] = await asked;
  expect([lost.gap, lost.events, whole.gap]).toEqual(["trimmed", [], undefined]);
});

test("a hidden page is away, and is pinged less; what the application says wins", async () => {
  const world = new World();
  const client = await world.connected();
  world.pageVisible = false;
  world.page("visibilitychange");
  await world.advance(100);
  expect([world.session.away, world.session.visible]).toEqual([true, false]);
  client.away(false);
  await world.advance(100);
  expect(world.session.away).toBe(false);
});
