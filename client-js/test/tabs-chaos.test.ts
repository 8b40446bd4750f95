/** The delivery contract in tabs that come and go, in virtual time. */
import { expect, test } from "vitest";
import type { ThroughlineError } from "../src/index.ts";
import { Random } from "./fake/random.ts";
import { Browser, type FakeTab } from "./fake/tabs.ts";

/** What one tab saw. */
interface Seen {
  readonly tab: FakeTab;
  readonly durable: number[];
  readonly ephemeral: number[];
  readonly state: Map<string, unknown>;
  readonly gaps: unknown[];
  readonly published: unknown[];
  readonly refused: string[];
  closed: boolean;
}

const offset = (position: string): number => Number(position.split(".")[1]);

class Run {
  readonly browser: Browser = new Browser();
  readonly seen: Seen[] = [];
  private readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get living(): Seen[] {
    return this.seen.filter(({ tab, closed }) => tab.alive && !tab.frozen && !closed);
  }

  open(): void {
    const tab = this.browser.open();
    const { client } = tab;
    const one: Seen = {
      tab,
      durable: [],
      ephemeral: [],
      state: new Map(),
      gaps: [],
      published: [],
      refused: [],
      closed: false,
    };
    this.seen.push(one);
    client.on("gap", (gap) => one.gaps.push(gap));
    const from = this.random.below(2) ? { since: "0" } : {};
    client.channel("chat:a", from).on("event", (event) => one.durable.push(offset(event.position)));
    client.channel("eph:a").on("event", (event) => one.ephemeral.push(offset(event.position)));
    client.channel("state:a").on("event", ({ key, data }) => one.state.set(`${key}`, data));
  }

  /** Whatever can happen to tabs and to what they read. */
  async step(at: number): Promise<void> {
    const { random, browser, living } = this;
    const { gateway } = browser.world;
    const what = random.below(17);
    const one = living[random.below(living.length)];
    if (what < 3) gateway.publish("chat:a", at);
    else if (what < 4) gateway.publish("eph:a", at);
    else if (what < 5) gateway.publish("state:a", at, `s${at}`, `key${random.below(3)}`);
    else if (what < 8 && one) {
      one.tab.client
        .channel("chat:a")
        .publish(`up ${at}`)
        .then(
          () => one.published.push(`up ${at}`),
          (error: ThroughlineError) => one.refused.push(error.code),
        );
    } else if (what === 8) browser.holder?.kill();
    else if (what === 9) browser.holder?.freeze(random.below(2) === 0);
    else if (what === 10) one?.tab.freeze(random.below(2) === 0);
    else if (what === 11) {
      for (const { tab } of this.seen) if (tab.frozen && random.below(2)) tab.thaw();
    } else if (what === 12) browser.world.cut();
    else if (what === 13 && one && living.length > 1) {
      one.closed = true;
      void one.tab.client.close();
    } else if (what === 14) one?.tab.page("pagehide");
    else if (what === 15) {
      // The session is over, or its node is lost.
      if (random.below(2)) gateway.lose();
      else for (const session of gateway.sessions.values()) session.ended = true;
      browser.world.cut();
    } else one?.tab.show(random.below(2) === 0);
    if (what === 14 && one) one.tab.kill();
    if (this.living.length < 3) this.open();
    await browser.world.advance(random.below(700));
  }
}

test("whatever happens to tabs, each is handed every event once, in order, and each publish is stored once", async () => {
  // spec: D1, D2, D6, S4, P3
  const { SEED = 1, SEEDS = 24 } = process.env;
  for (let seed = Number(SEED); seed < Number(SEED) + Number(SEEDS); seed++) {
    const run = new Run(seed);
    const { browser, seen } = run;
    const { world } = browser;
    for (let tab = 0; tab < 4; tab++) run.open();
    await world.advance(500);
    if (seed % 4 === 0) browser.lossy = 0.05;
    if (seed % 4 === 1) browser.hopMs = 100;
    for (let at = 0; at < 60; at++) await run.step(at);
    browser.lossy = 0;
    for (const { tab } of seen) if (tab.frozen) tab.thaw();
    for (const { tab } of seen) if (tab.alive) tab.show(true);
    await world.advance(20_000);
    world.gateway.publish("chat:a", "last");
    world.gateway.publish("state:a", "last", "last", "key0");
    await world.advance(5000);

    const log = world.gateway.log("chat:a").events;
    const stored = log.map((event) => event["data"]);
    const ups = stored.filter((data) => String(data).startsWith("up"));
    expect(new Set(ups).size, `seed ${seed}`).toBe(ups.length);
    const latest = new Map(
      world.gateway.log("state:a").events.map((event) => [event["key"], event["data"]]),
    );
    for (const one of run.living) {
      const what = `seed ${seed}, tab ${seen.indexOf(one)}`;
      const [first = 0] = one.durable;
      expect(one.gaps, what).toEqual([]);
      expect(one.durable, what).toEqual(
        Array.from({ length: log.length - first + 1 }, (_, n) => first + n),
      );
      expect(one.ephemeral, what).toEqual([...new Set(one.ephemeral)].sort((a, b) => a - b));
      expect(one.state, what).toEqual(latest);
      expect(one.refused, what).toEqual([]);
      expect(stored, what).toEqual(expect.arrayContaining(one.published));
      expect(one.tab.client.state, what).toBe("connected");
    }
    const holders = seen.filter(({ tab }) => tab.isHolder);
    expect(holders.length, `seed ${seed}`).toBe(1);
    expect(world.reports, `seed ${seed}`).toEqual([]);
  }
}, 120_000);
