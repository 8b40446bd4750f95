/** The demo page, as a visitor uses it. Pictures of it are left in `shots/` for people to look at. */
import { fileURLToPath } from "node:url";
import type { Locator, Page } from "playwright-core";
import { expect, test } from "vitest";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

const SHOTS = fileURLToPath(new URL("shots/", import.meta.url));

type Side = "left" | "right";

/** One end of the page. */
class End {
  readonly root: Locator;

  constructor(page: Page, side: Side) {
    this.root = page.locator(`.pane[data-side="${side}"]`);
  }

  /** Waits until its state is in these words. */
  async shows(words: string | RegExp): Promise<void> {
    const state = this.root.locator(".state-text");
    await until(
      `the state is ${words}`,
      async () => ((await state.textContent()) ?? "").match(words) !== null,
    );
  }

  async say(text: string): Promise<void> {
    await this.root.locator(".composer-input").fill(text);
    await this.root.locator(".send").click();
  }

  /** Waits until it reads these lines, in this order, with nothing between. */
  async reads(lines: readonly string[]): Promise<void> {
    const bubbles = this.root.locator(".settled .bubble");
    await until(`it reads ${lines}`, async () => {
      const texts = await bubbles.allTextContents();
      return texts.filter((text) => lines.includes(text)).join() === lines.join();
    });
  }

  async count(name: string): Promise<number> {
    return Number(await this.root.locator(`[data-count="${name}"]`).textContent());
  }

  /** Nothing is lost, repeated or missing. */
  async isWhole(): Promise<void> {
    const counts = ["gaps", "lost", "repeated"].map((name) => this.count(name));
    expect(await Promise.all(counts)).toEqual([0, 0, 0]);
  }

  async force(label: string): Promise<void> {
    await this.root.locator(".transport", { hasText: label }).click();
  }
}

async function openDemo(width: number, height: number): Promise<[Visitor, End, End]> {
  const visitor = await Visitor.arrive({ viewport: { width, height } });
  await visitor.page.goto("/");
  const ends = [new End(visitor.page, "left"), new End(visitor.page, "right")] as const;
  for (const end of ends) await end.shows("Live · WebSocket");
  return [visitor, ...ends];
}

const shoot = (visitor: Visitor, name: string): Promise<unknown> =>
  visitor.page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: name.startsWith("desktop") });

// demand: 99, 101, 103
test.each([
  ["desktop", 1280, 900],
  ["phone", 390, 844],
] as const)(
  "on a %s both ends of the demo talk, and the board shows the score",
  async (name, width, height) => {
    const [visitor, left, right] = await openDemo(width, height);
    await shoot(visitor, `${name}-open`);
    const [question, answer] = [fresh("left"), fresh("right")];
    await left.say(question);
    await right.reads([question]);
    await right.say(answer);
    for (const end of [left, right]) await end.reads([question, answer]);

    const home = fresh("t").slice(2);
    const data = { home, away: "Old Mill", home_goals: 2, away_goals: 1, minute: 67 };
    await publish(nextServer(), "scores:live", { data, key: `match-${name}` });
    const match = visitor.page.locator(".match", { hasText: home });
    await until("the score is shown", async () => (await match.count()) === 1);
    expect(await match.locator(".goals").allTextContents()).toEqual(["2", "1"]);
    for (const end of [left, right]) await end.isWhole();
    await shoot(visitor, `${name}-talk`);

    const overflow = await visitor.page.evaluate(
      () => document.documentElement.scrollWidth - window.innerWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
    expect([...visitor.uncaught, ...visitor.complaints]).toEqual([]);
  },
);

// spec: S4
// demand: 99
test("each transport can be forced at either end of the demo, and the talk goes on", async () => {
  const [visitor, left, right] = await openDemo(1280, 900);
  const lines: string[] = [];
  for (const label of ["SSE", "Poll", "Stream", "WebSocket", "Auto"]) {
    const words = `Live · ${label === "Auto" ? "WebSocket" : label}`;
    for (const end of [left, right]) await end.force(label);
    for (const end of [left, right]) await end.shows(words);
    for (const end of [left, right]) {
      const line = fresh(label);
      await end.say(line);
      lines.push(line);
      for (const reader of [left, right]) await reader.reads(lines);
    }
    if (label === "Poll") await shoot(visitor, "desktop-poll");
  }
  for (const end of [left, right]) await end.isWhole();
  expect([...visitor.uncaught, ...visitor.complaints]).toEqual([]);
});

// spec: D4, S4
// demand: 77, 88, 99
test("an end of the demo that is unplugged and plugged in again catches up, with nothing lost or repeated", async () => {
  const [visitor, left, right] = await openDemo(1280, 900);
  const plug = right.root.locator(".unplug");
  await plug.click();
  await right.shows("Unplugged");
  const [missed, waiting] = [
    [fresh("m"), fresh("m"), fresh("m")],
    [fresh("w"), fresh("w")],
  ];
  for (const line of missed) await left.say(line);
  await left.reads(missed);
  for (const line of waiting) await right.say(line);
  await until("they wait", async () => (await right.root.locator(".outgoing li").count()) === 2);
  await shoot(visitor, "desktop-unplugged");

  await plug.click();
  await right.shows("Live");
  const all = [...missed, ...waiting];
  for (const end of [left, right]) await end.reads(all);
  await until("it says what was missed", async () =>
    (await right.root.locator(".note").allTextContents()).some((text) => /caught up on/.test(text)),
  );
  for (const end of [left, right]) await end.isWhole();
  await shoot(visitor, "desktop-caught-up");
  expect([...visitor.uncaught, ...visitor.complaints]).toEqual([]);
});
