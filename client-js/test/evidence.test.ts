/** What the client sees of its network: kept as evidence, shown as reasons, and lived with. */
import { expect, test } from "vitest";
import type { FrameUp } from "../src/protocol/frames.ts";
import { World } from "./fake/world.ts";

const isPoll = (frame: FrameUp): frame is Extract<FrameUp, { l: "attach" }> & { wait: number } =>
  "wait" in frame && !!frame.wait;

test.each([
  ["refuse", "refused"],
  ["hang", "hung"],
  ["swallow", "opened_dead"],
] as const)(
  "a WebSocket that the network meets with %s leaves the evidence %s",
  async (fate, outcome) => {
    const world = new World();
    world.fates.ws = fate;
    const client = world.connect();
    await world.advance(6000);
    const { observed, rttMs } = client.evidence;
    expect(observed.find(({ transport }) => transport === "websocket")).toMatchObject({ outcome });
    expect(observed).toContainEqual(
      expect.objectContaining({ transport: "stream", outcome: "ok" }),
    );
    expect(rttMs).toBe(20);
  },
);

test("evidence is bounded", async () => {
  const world = new World();
  world.connect({ transports: ["poll"] });
  const client = world.connect({ transports: ["poll"] });
  await world.advance(40 * 20_000);
  expect(client.evidence.observed).toHaveLength(32);
});

test("behind a portal the reason is intercepted, one small request goes each 5 to 10 s, and the session opens once let through", async () => {
  const world = new World();
  world.fates.x = "portal";
  for (const kind of ["ws", "s", "e"] as const) world.fates[kind] = "refuse";
  const client = world.connect();
  const reasons: unknown[] = [];
  client.on("state", ({ state, reason }) => reasons.push([state, reason]));
  await world.advance(60_000);
  expect(reasons).toEqual([["connecting", "intercepted"]]);
  const asked = world.requests.filter((kind) => kind === "x").length;
  expect(asked).toBeGreaterThanOrEqual(6);
  expect(asked).toBeLessThanOrEqual(13);
  world.fates.x = "ok";
  await world.advance(10_100);
  expect(client.state).toBe("connected");
});

test("where requests hang and a WebSocket is refused at once a proxy wants credentials", async () => {
  const world = new World();
  for (const kind of ["x", "s", "e"] as const) world.fates[kind] = "hang";
  world.fates.ws = "refuse";
  const client = world.connect();
  const reasons: unknown[] = [];
  client.on("state", ({ reason }) => reasons.push(reason));
  await world.advance(9000);
  expect(reasons).toEqual(["credentials"]);
  for (const kind of ["x", "s", "e", "ws"] as const) world.fates[kind] = "ok";
  await world.advance(11_000);
  expect(client.state).toBe("connected");
});

test("what the client recovers from by itself is a reason of the state, and no error", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  const errors: unknown[] = [];
  const reasons: unknown[] = [];
  client.on("error", ({ code }) => errors.push(code));
  client.on("state", ({ reason }) => reasons.push(reason));
  await world.advance(500);
  world.gateway.refusals = ["session_kept", "moved"];
  world.cut();
  await world.advance(5000);
  expect(errors).toEqual([]);
  expect(reasons).toEqual(expect.arrayContaining(["session_kept", "moved"]));
  expect(client.state).toBe("connected");
});

test("a session whose seat the gateway gave to a newer one stops, and displaces nobody", async () => {
  // spec: M45
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  world.session.live?.send({ l: "error", code: "superseded", message: "", scope: "session" });
  await world.advance(60_000);
  expect([client.state, world.gateway.sessions.size]).toEqual(["failed", 1]);
});

test.each(["websocket", "stream", "poll"] as const)(
  "where everything stalls at once, with a dead connection in the pool, %s is back within the verdict and 2 s",
  async (transport) => {
    const world = new World();
    const client = world.connect({ transports: [transport, "poll"] });
    const got: unknown[] = [];
    client.channel("chat:a").on("event", ({ data }) => got.push(data));
    await world.advance(500);
    world.gateway.publish("chat:a", 1);
    await world.advance(100);
    world.cut();
    world.stalls = 1;
    world.gateway.publish("chat:a", 2);
    await world.advance(2000);
    expect([client.state, got]).toEqual(["connected", [1, 2]]);
  },
);

test("a page that leaves closes its WebSocket, and one that returns goes on with its session", async () => {
  const world = new World();
  const client = world.connect();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  world.page("pagehide");
  world.gateway.publish("chat:a", 1);
  await world.advance(500);
  expect(got).toEqual([]);
  world.page("pageshow", true);
  await world.advance(500);
  expect([got, client.transport, world.gateway.sessions.size]).toEqual([[1], "websocket", 1]);
});

test("polls are held ever less where the network cuts longer ones, and never below 3 s", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  await world.advance(500);
  const cuts: number[] = [];
  for (let n = 0; n < 6; n++) {
    const held = world.gateway.seen.filter(isPoll).at(-1)?.wait ?? 0;
    cuts.push(Math.round(held));
    await world.advance(Math.max(held - 1500, 3000));
    world.cut();
    await world.advance(500);
  }
  expect(cuts.slice(0, 3)).toEqual([20_000, 12_000, 7200]);
  expect(client.evidence.holdMs).toBeGreaterThanOrEqual(3000);
});

test("after a reload with a new session the user's own channel is read on from where the page was", async () => {
  const world = new World();
  const first = world.connect();
  const own = first.channel("@user:u1");
  own.on("event", () => undefined);
  await world.advance(500);
  world.gateway.publish("@user:u1", 1);
  await world.advance(1500);
  world.unload(false);
  world.gateway.publish("@user:u1", 2);
  const got: unknown[] = [];
  const second = world.connect();
  await world.advance(500);
  second.channel("@user:u1").on("event", ({ data }) => got.push(data));
  await world.advance(500);
  expect(got).toEqual([2]);
});

test("a channel that the gateway joined is asked for again where its presence is wanted", async () => {
  const world = new World();
  const client = world.connect();
  await world.advance(500);
  world.session.subs.add("@user:u1");
  world.session.push({
    t: "subscribed",
    ch: "@user:u1",
    pos: "e1.0.0000000000000000",
    durable: true,
  });
  await world.advance(100);
  client.channel("@user:u1", { presence: true });
  await world.advance(100);
  expect(world.gateway.seen).toContainEqual(
    expect.objectContaining({ t: "subscribe", ch: "@user:u1", presence: true }),
  );
});
