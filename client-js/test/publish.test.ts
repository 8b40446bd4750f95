/** Publishes and other requests of the application: how each is settled, waits, or is given up. */
import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

test("publishes settle on the gateway's answer, in the order in which they were made", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  const all = Promise.all([1, 2, 3].map((data) => channel.publish(data)));
  await world.advance(500);
  expect((await all).map(({ position }) => position.split(".")[1])).toEqual(["1", "2", "3"]);
  expect(world.gateway.log("chat:a").events.map((event) => event["data"])).toEqual([1, 2, 3]);
});

test("while offline publishes wait, up to the bound", async () => {
  const world = new World();
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "refuse";
  const client = await world.connected({ queue: 2 });
  const channel = client.channel("chat:a");
  const [one, two, three] = [1, 2, 3].map((data) => channel.publish(data));
  await expect(three).rejects.toMatchObject({ code: "queue_full", hint: expect.any(String) });
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "ok";
  await world.advance(30_000);
  await expect(Promise.all([one, two])).resolves.toHaveLength(2);
});

test("the data of a publish is as it was at the call", async () => {
  const world = new World();
  const client = world.connect();
  const data = { text: "before" };
  const published = client.channel("chat:a").publish(data);
  data.text = "after";
  await world.advance(500);
  await published;
  expect(world.gateway.log("chat:a").events[0]).toMatchObject({ data: { text: "before" } });
});

test("what JSON cannot say is refused with a code, not thrown", async () => {
  const world = new World();
  const channel = world.connect().channel("chat:a");
  const loop: Record<string, unknown> = {};
  loop["loop"] = loop;
  await expect(channel.publish(loop as never)).rejects.toMatchObject({ code: "bad_data" });
  await expect(channel.publish(undefined as never)).rejects.toMatchObject({ code: "bad_data" });
});

test("an aborted publish that was not sent is never sent", async () => {
  const world = new World();
  const client = world.connect();
  const control = new AbortController();
  const published = client.channel("chat:a").publish(1, { signal: control.signal });
  control.abort();
  await expect(published).rejects.toMatchObject({ code: "aborted" });
  await world.advance(1000);
  expect(world.gateway.log("chat:a").events).toEqual([]);
});

test("a signal that lives longer than a request keeps nothing of it", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  const { signal } = new AbortController();
  await Promise.all([
    channel.publish(1, { signal }),
    channel.history({ signal }),
    world.advance(100),
  ]);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("a request whose signal says so from the start is not made", async () => {
  const world = new World();
  const client = await world.connected();
  const channel = client.channel("chat:a");
  const signal = AbortSignal.abort();
  await expect(channel.publish(1, { signal })).rejects.toMatchObject({ code: "aborted" });
  await expect(channel.history({ signal })).rejects.toMatchObject({ code: "aborted" });
  await world.advance(1000);
  expect(world.gateway.log("chat:a").events).toEqual([]);
});
