/** Tabs on a busy machine: what they say to each other takes long, and a holder answers late or never. */
import { expect, test } from "vitest";
import { Browser } from "./fake/tabs.ts";

const ROUNDS = 12;

// spec: D2, R3
test.each(["dies", "stands still", "is busy for a second"] as const)(
  "a holder that %s leaves its session to the next, however late the tabs hear of each other",
  async (how) => {
    for (let round = 0; round < ROUNDS; round++) {
      const browser = new Browser();
      const { world } = browser;
      for (let skip = 0; skip < round; skip++) world.random();
      const tabs = Array.from({ length: 12 }, () => browser.open());
      const got = tabs.map(({ client }) => {
        const events: unknown[] = [];
        client.channel("chat:a").on("event", ({ data }) => events.push(data));
        return events;
      });
      await world.advance(1000);
      browser.hopMs = 10 + round * 15;
      const { holder } = browser;
      const sent: number[] = [];
      const talk = async (ms: number): Promise<void> => {
        for (let left = ms; left > 0; left -= 10) {
          world.gateway.publish("chat:a", sent.push(sent.length));
          await world.advance(10);
        }
      };
      await talk(100);
      if (how === "dies") holder?.kill();
      else holder?.freeze();
      await talk(1000);
      if (how !== "stands still") holder?.thaw();
      await talk(500);
      await world.advance(5000);
      const alive = tabs.flatMap((tab, at) => (tab.alive && !tab.frozen ? [at] : []));
      for (const at of alive) {
        const what = `round ${round}, tab ${at}`;
        expect(got[at], what).toEqual(sent.map((n) => n + 1));
        expect(tabs[at]?.client.state, what).toBe("connected");
      }
      expect(world.gateway.sessions.size, `round ${round}`).toBe(1);
    }
  },
  180_000,
);
