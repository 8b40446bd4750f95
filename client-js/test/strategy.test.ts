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
  expect(world.requests.slice(0, 1)).toEqual(["x"]);
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
});
