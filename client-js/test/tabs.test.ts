/** Tabs that share one session, in virtual time. */
import { expect, test } from "vitest";
import type { ChannelEvent } from "../src/index.ts";
import { Browser, type FakeTab } from "./fake/tabs.ts";

/** What a tab was handed of a channel. */
function read(
  tab: FakeTab,
  ch: string,
  options?: { since?: string; presence?: boolean },
): unknown[] {
  const got: unknown[] = [];
  tab.client.channel(ch, options).on("event", ({ data }: ChannelEvent) => got.push(data));
  return got;
}

test("twelve tabs share one session, and each gets every event once", async () => {
  const browser = new Browser();
  const { world } = browser;
  const got = Array.from({ length: 12 }, () => read(browser.open(), "chat:a"));
  await world.advance(1000);
  expect(browser.tabs.map(({ client }) => client.state)).toEqual(Array(12).fill("connected"));
  expect(browser.tabs.map(({ client }) => client.transport)).toEqual(Array(12).fill("websocket"));
  expect(world.gateway.sessions.size).toBe(1);
  expect(world.requests.filter((kind) => kind === "ws")).toHaveLength(1);
  for (const [at, { client }] of browser.tabs.entries()) void client.channel("chat:a").publish(at);
  await world.advance(1000);
  const stored = world.gateway.log("chat:a").events.map((event) => event["data"]);
  expect([...stored].sort()).toEqual(Array.from({ length: 12 }, (_, at) => at).sort());
  for (const events of got) expect(events).toEqual(stored);
});

test("the holder dies: the next one goes on with the same session within a second", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = Array.from({ length: 4 }, () => browser.open());
  const got = tabs.map((tab) => read(tab, "chat:a"));
  const gaps: unknown[] = [];
  const resumed: unknown[] = [];
  for (const { client } of tabs) {
    client.on("gap", (gap) => gaps.push(gap));
    client.on("resumed", (how) => resumed.push(how));
  }
  await world.advance(1000);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  browser.holder?.kill();
  world.gateway.publish("chat:a", 2);
  const published = tabs[3]?.client.channel("chat:a").publish(3);
  await world.advance(1000);
  await expect(published).resolves.toMatchObject({ duplicate: false });
  expect(got.slice(1)).toEqual(Array(3).fill([1, 2, 3]));
  expect(gaps).toEqual([]);
  expect(resumed).toEqual(Array(3).fill({ recovered: true }));
  expect(world.gateway.sessions.size).toBe(1);
  expect(tabs[1]?.client).toMatchObject({ state: "connected", transport: "websocket" });
});
