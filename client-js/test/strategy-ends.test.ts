/** How a client goes on where its session is gone, kept, moved or another's, and how it ends. */
import { expect, test } from "vitest";
import type { AttachFrame, FrameUp } from "../src/protocol/frames.ts";
import { World } from "./fake/world.ts";

test("a ticket that somebody else uses leads to a new session", async () => {
  // spec: M23
  const world = new World();
  const client = world.connect();
  client.channel("chat:a");
  await world.advance(500);
  const attach: AttachFrame = { l: "attach", ticket: world.session.ticket, link: 99, count: 1 };
  world.gateway.exchange([attach], "other", () => undefined);
  await world.advance(1000);
  expect(world.gateway.sessions.size).toBe(2);
  expect(client.state).toBe("connected");
  const opens = world.gateway.seen.filter((frame: FrameUp) => "l" in frame && frame.l === "open");
  expect(opens[1]).toMatchObject({ subs: [{ ch: "chat:a", since: "e1.0.0000000000000000" }] });
});

test("a session that is taken over each time it is opened is opened ever later", async () => {
  // spec: M23
  const world = new World();
  world.connect({ transports: ["websocket"] });
  await world.advance(500);
  const takeOver = (): void => {
    const attach: AttachFrame = { l: "attach", ticket: world.session.ticket, link: 999, count: 1 };
    world.gateway.exchange([attach], "other", () => undefined);
  };
  for (let n = 0; n < 300; n++) {
    takeOver();
    await world.advance(200);
  }
  // In a minute: twice as late each time, up to 20 s, by the dice.
  const { size } = world.gateway.sessions;
  expect(size).toBeGreaterThan(4);
  expect(size).toBeLessThan(25);
});

test("a session whose backlog takes long to come down a slow line is reached all the same", async () => {
  // spec: S1, D1
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  world.fates.x = "refuse";
  world.cut();
  await world.advance(10_000);
  world.gateway.publish("chat:a", 1);
  world.fates.x = "ok";
  world.answerMs = 20_000;
  await world.advance(120_000);
  expect(got).toEqual([1]);
  expect(client.state).toBe("connected");
});

test("a session that is gone is replaced, with positions, and durable publishes are sent again", async () => {
  // spec: M24, D4
  const world = new World();
  const client = world.connect();
  const got: unknown[] = [];
  const resumed: unknown[] = [];
  client.on("resumed", (value) => resumed.push(value));
  const channel = client.channel("chat:a");
  channel.on("event", ({ data }) => got.push(data));
  await world.advance(500);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  world.session.ended = true;
  world.gateway.publish("chat:a", 2);
  const published = channel.publish(3);
  world.cut();
  await world.advance(3000);
  expect(got).toEqual([1, 2, 3]);
  await expect(published).resolves.toMatchObject({ duplicate: false });
  expect(resumed).toEqual([{ recovered: false }]);
});

test.each(["websocket", "stream", "poll"] as const)(
  "a session whose node was lost is opened again with its ticket and goes on as the same member, over %s",
  async (transport) => {
    // spec: M44, S5
    const world = new World();
    const client = world.connect({ transports: [transport] });
    const got: unknown[] = [];
    const channel = client.channel("chat:a");
    channel.on("event", ({ data }) => got.push(data));
    await world.advance(500);
    const { ticket } = world.session;
    client.away(true);
    await world.advance(500);
    const published = channel.publish(2);
    const ephemeral = client
      .channel("eph:a")
      .publish(3)
      .catch(({ code }) => code);
    // Sent, and not yet there.
    await world.advance(1);
    world.gateway.lose();
    world.gateway.publish("chat:a", 1);
    world.cut();
    await world.advance(5000);
    const opens = world.gateway.seen.filter((frame: FrameUp) => "l" in frame && frame.l === "open");
    expect(opens.slice(1)).toMatchObject([{ ticket, subs: [{ ch: "chat:a" }, { ch: "eph:a" }] }]);
    await expect(published).resolves.toMatchObject({ duplicate: false });
    await expect(ephemeral).resolves.toBe("unknown_outcome");
    expect(got).toEqual([1, 2]);
    expect([client.state, client.transport, world.session.away]).toEqual([
      "connected",
      transport,
      true,
    ]);
  },
);

test.each(["session_kept", "moved"])("a session is attached again after %s", async (code) => {
  // spec: M43
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  await world.advance(500);
  world.gateway.refusals = [code, code];
  world.cut();
  await world.advance(5000);
  expect([client.state, world.gateway.sessions.size]).toEqual(["connected", 1]);
  expect(world.gateway.seen.filter((frame) => "l" in frame && frame.l === "open")).toHaveLength(1);
});

test("refusals that say when to come back neither count as tries nor make what follows slower", async () => {
  // spec: M43, M44
  const world = new World();
  const client = world.connect({ transports: ["poll"], maxRetries: 2 });
  await world.advance(500);
  const { ticket } = world.session;
  world.gateway.lose();
  world.gateway.refusals = Array.from({ length: 7 }, () => "session_kept");
  world.cut();
  await world.advance(7500);
  expect([client.state, world.gateway.sessions.size]).toEqual(["connected", 1]);
  expect(world.gateway.seen).toContainEqual(expect.objectContaining({ l: "open", ticket }));
});

test.each(["websocket", "stream", "sse", "poll"] as const)(
  "a session that is gone is replaced by one, over %s",
  async (transport) => {
    const world = new World();
    const client = world.connect({ transports: [transport] });
    await world.advance(500);
    world.session.ended = true;
    world.cut();
    await world.advance(5000);
    expect([client.state, client.transport, world.gateway.sessions.size]).toEqual([
      "connected",
      transport,
      2,
    ]);
  },
);

test("close() ends the session on the gateway, and what waits is refused", async () => {
  for (const transport of ["websocket", "stream", "poll"] as const) {
    const world = new World();
    const client = world.connect({ transports: [transport] });
    await world.advance(500);
    const { session } = world;
    const closed = client.close();
    const published = client.channel("chat:a").publish(1);
    await expect(published).rejects.toMatchObject({ code: "closed" });
    await world.advance(3000);
    await closed;
    expect([client.state, session.ended]).toEqual(["closed", true]);
  }
});

test("an aborted signal closes the client", async () => {
  const world = new World();
  const control = new AbortController();
  const client = world.connect({ signal: control.signal });
  await world.advance(500);
  control.abort();
  await world.advance(100);
  expect([client.state, world.session.ended]).toEqual(["closed", true]);
});
