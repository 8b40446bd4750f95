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

test("every tab is told why there is no connection, where that changes alone too", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = Array.from({ length: 2 }, () => browser.open());
  const reasons = tabs.map(({ client }) => {
    const told = new Set<string | undefined>();
    client.on("state", ({ reason }) => told.add(reason));
    return told;
  });
  await world.advance(1000);
  for (const kind of ["ws", "s", "e", "x"] as const) world.fates[kind] = "refuse";
  world.cut();
  await world.advance(10_000);
  for (const told of reasons) expect(told).toContain("unreachable");
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

test("a holder that stands still is replaced within a second, and follows when it runs again", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = Array.from({ length: 3 }, () => browser.open());
  const got = tabs.map((tab) => read(tab, "chat:a"));
  await world.advance(1000);
  const { holder } = browser;
  holder?.freeze();
  await world.advance(100);
  world.gateway.publish("chat:a", 1);
  const published = tabs[1]?.client.channel("chat:a").publish(2);
  await world.advance(1000);
  await expect(published).resolves.toMatchObject({ duplicate: false });
  expect(got.slice(1)).toEqual([
    [1, 2],
    [1, 2],
  ]);
  holder?.thaw();
  await world.advance(1000);
  world.gateway.publish("chat:a", 3);
  await world.advance(100);
  expect(got).toEqual(Array(3).fill([1, 2, 3]));
  expect(world.gateway.sessions.size).toBe(1);
  expect(browser.holder).not.toBe(holder);
  expect(tabs.map(({ client }) => client.state)).toEqual(Array(3).fill("connected"));
});

test("a holder that is busy for half a second keeps the session", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  read(first, "chat:a");
  read(browser.open(), "chat:a");
  await world.advance(1000);
  first.freeze();
  await world.advance(500);
  first.thaw();
  await world.advance(1000);
  expect(browser.holder).toBe(first);
});

test("a tab that comes later does not disturb the one that holds a quiet session", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  await world.advance(5000);
  const later = browser.open();
  await world.advance(2000);
  expect(later.client.state).toBe("connected");
  expect(browser.holder).toBe(first);
  expect(later.client.me).toEqual({ id: "me" });
});

test("a tab that comes later enters where the channel stands; since, it gets what was before", async () => {
  // spec: D6
  const browser = new Browser();
  const { world } = browser;
  read(browser.open(), "chat:a");
  await world.advance(500);
  for (let at = 1; at <= 250; at++) world.gateway.publish("chat:a", at);
  await world.advance(500);
  const later = browser.open();
  const positions: string[] = [];
  later.client.channel("chat:a").on("subscribed", ({ position }) => positions.push(position));
  const late = read(later, "chat:a");
  const whole = browser.open();
  const all = read(whole, "chat:a", { since: "0" });
  const caughtUp: unknown[] = [];
  whole.client.channel("chat:a").on("caught_up", (what) => caughtUp.push(what));
  await world.advance(5);
  world.gateway.publish("chat:a", 251);
  await world.advance(500);
  world.gateway.publish("chat:a", 252);
  await world.advance(500);
  expect(late).toEqual([251, 252]);
  expect(positions).toEqual([world.gateway.position(world.gateway.log("chat:a"), 250)]);
  expect(all).toEqual(Array.from({ length: 252 }, (_, at) => at + 1));
  expect(caughtUp).toEqual([{ channel: "chat:a" }]);
});

test("a tab whose position is not retained any more gets one gap", async () => {
  // spec: D5
  const browser = new Browser();
  const { world } = browser;
  read(browser.open(), "chat:a");
  await world.advance(500);
  const log = world.gateway.log("chat:a");
  for (let at = 1; at <= 20; at++) world.gateway.publish("chat:a", at);
  log.trimmed = 10;
  await world.advance(500);
  const later = browser.open();
  const gaps: unknown[] = [];
  later.client.on("gap", (gap) => gaps.push(gap));
  const got = read(later, "chat:a", { since: world.gateway.position(log, 5) });
  await world.advance(500);
  world.gateway.publish("chat:a", 21);
  await world.advance(500);
  expect(gaps).toEqual([
    { channel: "chat:a", reason: "trimmed", position: world.gateway.position(log, 20) },
  ]);
  expect(got).toEqual([21]);
});

test("a tab that comes later has the state of a state channel, and who is there", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  read(first, "state:a", { presence: true });
  await world.advance(500);
  world.gateway.publish("state:a", 1, "x", "k1");
  world.gateway.publish("state:a", 2, "y", "k2");
  await world.advance(500);
  const later = browser.open();
  const got = read(later, "state:a", { presence: true });
  await world.advance(500);
  expect(got).toEqual([1, 2]);
  expect([...later.client.channel("state:a").presence.members.keys()]).toEqual(["me"]);
  first.kill();
  await world.advance(1000);
  world.gateway.publish("state:a", 3, "z", "k1");
  await world.advance(100);
  expect(got).toEqual([1, 2, 3]);
});

test("a subscription ends with the last tab that reads it, be it closed or dead", async () => {
  const browser = new Browser();
  const { world } = browser;
  const [, second, third] = [browser.open(), browser.open(), browser.open()];
  for (const tab of [second, third]) read(tab, "chat:a");
  await world.advance(500);
  await second.client.close();
  await world.advance(100);
  expect([...world.session.subs]).toEqual(["chat:a"]);
  third.kill();
  await world.advance(100);
  expect([...world.session.subs]).toEqual([]);
  expect(world.gateway.sessions.size).toBe(1);
});

test("what only the dead holder read ends, too", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  read(first, "chat:a");
  read(browser.open(), "chat:b");
  await world.advance(500);
  first.kill();
  await world.advance(11_000);
  expect([...world.session.subs]).toEqual(["chat:b"]);
});

test("close() of one tab leaves the session to the others; the last one ends it", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.open(), browser.open()];
  const got = tabs.map((tab) => read(tab, "chat:a"));
  await world.advance(500);
  const closed = tabs[0]?.client.close();
  await world.advance(500);
  await closed;
  expect(tabs[0]?.client.state).toBe("closed");
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect(got).toEqual([[], [1]]);
  expect(world.session.ended).toBe(false);
  await expect(tabs[0]?.client.channel("chat:a").publish(1)).rejects.toMatchObject({
    code: "closed",
  });
  const last = tabs[1]?.client.close();
  await world.advance(500);
  await last;
  expect(world.session.ended).toBe(true);
  expect(world.gateway.sessions.size).toBe(1);
});

test("of two publishes under way when the holder dies, the durable one is stored once and the other is unknown", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  const { client } = browser.open();
  const channels = [client.channel("chat:a"), client.channel("eph:a")];
  await world.advance(500);
  const outcomes = Promise.allSettled(channels.map((channel) => channel.publish(1)));
  await world.advance(8);
  first.kill();
  await world.advance(1000);
  expect(await outcomes).toMatchObject([
    { status: "fulfilled" },
    { status: "rejected", reason: { code: "unknown_outcome" } },
  ]);
  expect(world.gateway.log("chat:a").events).toHaveLength(1);
  expect(world.gateway.log("eph:a").events.length).toBeLessThan(2);
});

test("the user is away when every tab is", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.open(), browser.open()];
  await world.advance(500);
  tabs[0]?.show(false);
  await world.advance(100);
  expect(world.session.away).toBe(false);
  tabs[1]?.show(false);
  await world.advance(100);
  expect(world.session.away).toBe(true);
  browser.holder?.kill();
  await world.advance(2000);
  expect(world.session.away).toBe(true);
  tabs[1]?.show(true);
  await world.advance(100);
  expect(world.session.away).toBe(false);
});

test("use() and cut() of any tab move the session of all", async () => {
  const browser = new Browser();
  const { world } = browser;
  const [first, second] = [browser.open(), browser.open()];
  await world.advance(500);
  second.client.use(["poll"]);
  await world.advance(1000);
  expect(first.client.transport).toBe("poll");
  first.kill();
  await world.advance(1000);
  expect(second.client.transport).toBe("poll");
  second.client.use(["websocket"]);
  await world.advance(1000);
  expect(second.client.transport).toBe("websocket");
  const states: unknown[] = [];
  second.client.on("state", ({ state }) => states.push(state));
  second.client.cut();
  await world.advance(1000);
  expect(states).toContain("reconnecting");
  expect(second.client.state).toBe("connected");
});

test("the only tab goes on with its session after a reload", async () => {
  const browser = new Browser();
  const { world } = browser;
  const first = browser.open();
  const got = read(first, "chat:a");
  await world.advance(500);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  first.page("pagehide");
  first.kill();
  world.gateway.publish("chat:a", 2);
  const second = browser.open({}, first.stored);
  const more = read(second, "chat:a");
  await world.advance(1000);
  expect([...got, ...more]).toEqual([1, 2]);
  expect(world.gateway.sessions.size).toBe(1);
});

test("a page that is frozen hands over, and comes back", async () => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.open(), browser.open()];
  const got = tabs.map((tab) => read(tab, "chat:a"));
  await world.advance(500);
  tabs[0]?.page("freeze");
  await world.advance(100);
  expect(browser.holder).toBe(tabs[1]);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  tabs[0]?.page("resume");
  await world.advance(500);
  world.gateway.publish("chat:a", 2);
  await world.advance(100);
  expect(got).toEqual([
    [1, 2],
    [1, 2],
  ]);
  expect(world.gateway.sessions.size).toBe(1);
});

test("a holder whose timers a browser holds back connects again for a tab that is looked at", async () => {
  const browser = new Browser();
  const { world } = browser;
  const [first, second] = [browser.open(), browser.open()];
  const got = read(second, "chat:a");
  await world.advance(1000);
  first.show(false);
  first.throttled = true;
  world.fates.x = world.fates.ws = world.fates.s = world.fates.e = "refuse";
  world.cut();
  await world.advance(3000);
  expect(second.client.state).toBe("reconnecting");
  world.fates.x = world.fates.ws = "ok";
  world.gateway.publish("chat:a", 1);
  await world.advance(5000);
  expect(browser.holder).toBe(first);
  expect(second.client.state).toBe("connected");
  expect(got).toEqual([1]);
});

test("what waits for a tab that stands still is bounded, and the tab comes back whole", async () => {
  // spec: B1, D1, D2
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.open(), browser.open(), browser.open()];
  const got = tabs.map((tab) => read(tab, "chat:a"));
  await world.advance(500);
  tabs[2]?.freeze();
  const all: number[] = [];
  for (let at = 0; at < 4000; at++) {
    all.push(at);
    world.gateway.publish("chat:a", at);
    if (at % 2) await world.advance(20);
  }
  expect(tabs[2]?.backlog).toBeLessThan(2500);
  const late = browser.open();
  const more = read(late, "chat:a");
  await world.advance(1000);
  expect(late.client.state).toBe("connected");
  tabs[2]?.thaw();
  await world.advance(3000);
  world.gateway.publish("chat:a", 4000);
  await world.advance(200);
  expect(got).toEqual(Array(3).fill([...all, 4000]));
  expect(more).toEqual([4000]);
  expect(browser.holder).toBe(tabs[0]);
  expect(world.gateway.sessions.size).toBe(1);
}, 60_000);
