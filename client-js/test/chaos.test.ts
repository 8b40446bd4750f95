/** The delivery contract under a network that does what it likes, in virtual time. */
import { expect, test } from "vitest";
import type { ThroughlineError, Transport } from "../src/index.ts";
import { Random } from "./fake/random.ts";
import { type Fate, World } from "./fake/world.ts";

const FATES: readonly [Fate, ...Fate[]] = ["ok", "ok", "ok", "refuse", "hang", "swallow"];
const MOVES: readonly [Transport[], ...Transport[][]] = [
  ["websocket", "stream", "sse", "poll"],
  ["sse", "poll"],
  ["stream"],
  ["poll"],
  ["websocket", "poll"],
];

interface Run {
  world: World;
  got: unknown[];
  published: unknown[];
  refused: unknown[];
  gaps: unknown[];
}

async function run(seed: number, steps: number): Promise<Run> {
  const random = new Random(seed);
  const world = new World();
  const client = world.connect();
  const result: Run = { world, got: [], published: [], refused: [], gaps: [] };
  const channel = client.channel("chat:a");
  channel.on("event", ({ data }) => result.got.push(data));
  client.on("gap", (gap) => result.gaps.push(gap));
  await world.advance(200);
  for (let step = 0; step < steps; step++) {
    const what = random.below(12);
    if (what < 4) world.gateway.publish("chat:a", `down ${step}`);
    else if (what < 7) {
      const data = `up ${step}`;
      channel.publish(data).then(
        () => result.published.push(data),
        (error: ThroughlineError) => result.refused.push(error.code),
      );
    } else if (what === 7) world.cut();
    else if (what === 8)
      world.fates[random.pick(["ws", "s", "e", "x"] as const)] = random.pick(FATES);
    else if (what === 9) client.use(random.pick(MOVES));
    else if (what === 10 && random.below(4) === 0) world.session.ended = true;
    else world.page(random.pick(["online", "visibilitychange", "pageshow"]), true);
    await world.advance(random.below(800));
  }
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "ok";
  client.use(["websocket", "stream", "sse", "poll"]);
  await world.advance(90_000);
  expect(client.state, `seed ${seed}`).toBe("connected");
  return result;
}

test("whatever the network does, each event is handed over once, in order, and each publish is stored once", async () => {
  // spec: D1, D2, S2, S3, S4, P3, O3
  for (let seed = 1; seed <= 60; seed++) {
    const { world, got, published, refused, gaps } = await run(seed, 60);
    const stored = world.gateway.log("chat:a").events.map((event) => event["data"]);
    expect(gaps, `seed ${seed}`).toEqual([]);
    expect(got, `seed ${seed}`).toEqual(stored);
    expect(refused, `seed ${seed}`).toEqual([]);
    const ups = stored.filter((data) => String(data).startsWith("up"));
    expect(new Set(ups).size, `seed ${seed}`).toBe(ups.length);
    expect(ups, `seed ${seed}`).toEqual(published);
  }
}, 60_000);
