/** What is left of a client that was closed: nothing, in whatever state it was. */
import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { feed } from "../src/feed.ts";
import type { Client } from "../src/index.ts";
import { Browser, type FakeTab } from "./fake/tabs.ts";
import { ways } from "./fake/ways.ts";
import { World } from "./fake/world.ts";

/** Closes it, and lets the network answer. */
async function close(world: World, client: Client): Promise<void> {
  let isOver = false;
  void client.close().then(() => {
    isOver = true;
  });
  for (let ms = 0; ms < 1600 && !isOver; ms++) await world.advance(1);
  expect(isOver).toBe(true);
}

/** What must not be there of it. */
async function expectNothing(world: World): Promise<void> {
  await world.advance(0);
  expect([world.timers.size, world.open, world.connecting]).toEqual([0, 0, 0]);
  const { length } = world.requests;
  world.page("online");
  world.page("visibilitychange");
  await world.advance(600_000);
  expect(world.requests).toHaveLength(length);
}

test.each(ways)(
  "a client that is closed leaves no timer and no connection: %s",
  async (_, lead) => {
    // spec: B1
    const world = new World();
    const client = await lead(world);
    await close(world, client);
    await expectNothing(world);
  },
);

test.each(["connected", "reconnecting", "failed"])(
  "a client that is closed when it says %s leaves none either",
  async (when) => {
    const world = new World();
    const client = world.connect({ maxRetries: 3 });
    client.on("state", ({ state }) => {
      if (state === when) void client.close();
    });
    await world.advance(1000);
    world.fates.ws = world.fates.x = "refuse";
    world.cut();
    await world.advance(10_000);
    expect(client.state).toBe("closed");
    await expectNothing(world);
  },
);

test("a client that is closed when an error is told leaves none either", async () => {
  const world = new World();
  const client = world.connect({ auth: () => Promise.reject(new Error("no network")) });
  client.on("error", client.close);
  await world.advance(1000);
  expect(client.state).toBe("closed");
  await expectNothing(world);
});

test("close() ends the session also while that is being reached again", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  await world.advance(1000);
  world.cut();
  world.stalls = 1;
  await world.advance(1400);
  world.latencyMs = 300;
  await close(world, client);
  expect(world.session.ended).toBe(true);
  await expectNothing(world);
});

test("close() twice waits for the same end", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  await world.advance(1000);
  void client.close();
  await close(world, client);
  expect(world.session.ended).toBe(true);
});

test("a body that still comes when the client is closed is given up", async () => {
  const world = new World();
  const client = world.connect({ transports: ["poll"] });
  client.channel("chat:a");
  await world.advance(1000);
  world.answerMs = 50_000;
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  await close(world, client);
  await expectNothing(world);
});

/** A state of two tabs of one page: what leads to it. */
const shared: (readonly [name: string, lead: (browser: Browser) => Promise<void>])[] = [
  ["just opened", async () => undefined],
  ["sharing", ({ world }) => world.advance(60_000)],
  [
    "before the gateway answers",
    ({ world }) => {
      world.fates.x = world.fates.ws = "hang";
      return world.advance(1000);
    },
  ],
  [
    "one standing still",
    async ({ world, tabs }) => {
      await world.advance(1000);
      tabs[0]?.freeze();
      await world.advance(300);
      tabs[0]?.thaw();
    },
  ],
  [
    "just handed over",
    async ({ world, tabs }) => {
      await world.advance(1000);
      tabs[0]?.page("freeze");
      await world.advance(100);
      tabs[0]?.page("resume");
      await world.advance(100);
    },
  ],
  [
    "frozen",
    async ({ world, tabs }) => {
      await world.advance(1000);
      for (const tab of tabs) tab.page("freeze");
    },
  ],
];

test.each(shared)("tabs that are closed leave no timer and no connection: %s", async (_, lead) => {
  const browser = new Browser();
  const { world } = browser;
  const tabs: FakeTab[] = [browser.open(), browser.open()];
  await lead(browser);
  for (const { client } of tabs) await close(world, client);
  await expectNothing(world);
});

test("a tab that is closed while a token cannot be had leaves none either", async () => {
  const browser = new Browser();
  const { client } = browser.open({ auth: () => Promise.reject(new Error("no network")) });
  await browser.world.advance(5000);
  await close(browser.world, client);
  await expectNothing(browser.world);
});

test.each(["ok", "hang", "refuse"] as const)(
  "a feed that is closed leaves no timer and no request: %s",
  async (fate) => {
    const world = new World();
    const reader = feed("http://gateway.test/realtime", ["chat:a"], {
      env: {
        ...world.env,
        fetch: ((_, init) =>
          new Promise((resolve, reject) => {
            init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
            if (fate === "refuse") reject(new TypeError("Failed to fetch"));
            if (fate === "ok") resolve(Response.json({ events: [], cursor: "c", more: false }));
          })) as typeof fetch,
      },
      every: 10_000,
    });
    await world.advance(5000);
    reader.close();
    await expectNothing(world);
  },
);

test("what is closed keeps no listener at the signal that would have closed it", async () => {
  const browser = new Browser();
  const { world } = browser;
  const { signal } = new AbortController();
  const client = world.connect({ signal });
  const tab = browser.open({ signal });
  const reader = feed("http://gateway.test/realtime", ["chat:a"], { env: world.env, signal });
  expect(getEventListeners(signal, "abort")).toHaveLength(3);
  reader.close();
  await close(world, client);
  await close(world, tab.client);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
