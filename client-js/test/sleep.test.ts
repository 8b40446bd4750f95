/** A machine that sleeps, in virtual time: no timer runs, and the gateway forgets. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

// spec: D1, D2
// demand: 93
test.each([
  ["that is there", "websocket", false],
  ["that is over", "websocket", true],
  ["that is there", "stream", false],
  ["that is over", "stream", true],
  ["that is there", "poll", false],
  ["that is over", "poll", true],
] as const)(
  "two seconds after a lid is opened that was shut for ten minutes all is there, of a session %s over %s",
  async (_, transport, isOver) => {
    const world = new World();
    const client = world.connect({ transports: [transport] });
    const got: unknown[] = [];
    const gaps: unknown[] = [];
    client.channel("chat:a").on("event", ({ data }) => got.push(data));
    client.on("gap", (gap) => gaps.push(gap));
    await world.advance(1000);
    expect(client.transport).toBe(transport);
    world.gateway.publish("chat:a", 1);
    await world.advance(100);
    // What was open hangs: nobody told the page that it is dead.
    const { session } = world;
    if (session.live) session.live.send = () => undefined;
    session.poll = undefined;
    session.ended = isOver;
    world.gateway.publish("chat:a", 2);
    world.clock.now += 600_000;
    world.gateway.publish("chat:a", 3);
    await world.advance(2000);
    expect(got).toEqual([1, 2, 3]);
    expect(gaps).toEqual([]);
    expect(client.state).toBe("connected");
  },
);
