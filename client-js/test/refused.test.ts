/** Networks that refuse some content, and those that hold back the last message. */
import { expect, test } from "vitest";
import type { FrameUp } from "../src/protocol/frames.ts";
import { World } from "./fake/world.ts";

test.each([["poll"], ["stream", "poll"]] as const)(
  "a frame that the network refuses alone ends with an error, and what comes after goes on, over %s",
  async (...transports) => {
    // spec: S3
    const world = new World();
    const isBad = (frame: FrameUp): boolean =>
      "t" in frame && frame.t === "publish" && frame.data === "DROP TABLE";
    world.refuses = (frames) => frames.some(isBad);
    const client = world.connect({ transports });
    const channel = client.channel("chat:a");
    await world.advance(1000);
    const outcomes = ["one", "DROP TABLE", "two"].map((data) =>
      channel.publish(data).then(
        () => data,
        ({ code }) => code,
      ),
    );
    await world.advance(10_000);
    expect(await Promise.all(outcomes)).toEqual(["one", "blocked", "two"]);
    expect(world.gateway.log("chat:a").events.map(({ data }) => data)).toEqual(["one", "two"]);
    expect(client.state).toBe("connected");
    const later = channel.publish("three");
    await world.advance(1000);
    await expect(later).resolves.toMatchObject({ duplicate: false });
  },
);

test("a body that is too large for the network goes in parts", async () => {
  const world = new World();
  world.refuses = (frames) => frames.length > 3;
  const channel = world.connect({ transports: ["poll"] }).channel("chat:a");
  await world.advance(1000);
  const sent = Array.from({ length: 8 }, (_, n) => channel.publish(n));
  await world.advance(10_000);
  await Promise.all(sent);
  const events = world.gateway.log("chat:a").events.map(({ data }) => data);
  expect(events).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("a network that is away blames no frame", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  await world.advance(1000);
  world.refuses = () => true;
  const sent = client.channel("chat:a").publish(1);
  await world.advance(20_000);
  world.refuses = () => false;
  await world.advance(20_000);
  await expect(sent).resolves.toMatchObject({ duplicate: false });
});

test("where each message comes with its successor a stream is asked for with fillers", async () => {
  // spec: M27
  const world = new World();
  Object.assign(world.fates, { ws: "refuse", s: "late" });
  const client = world.connect();
  const got: unknown[] = [];
  client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(7000);
  expect(client.transport).toBe("stream");
  world.gateway.publish("chat:a", 1);
  await world.advance(60);
  expect(got).toEqual([1]);
});
