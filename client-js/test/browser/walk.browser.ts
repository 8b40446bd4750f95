/** A session walks over every transport while its connections are cut. */
import { expect, test } from "vitest";
import type { Transport } from "../../src/index.ts";
import { history, publish } from "./kit/api.ts";
import { type Dice, dice } from "./kit/random.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

const EVENTS = 2000;
/** Published and not yet seen by the page, at most: less than what the channel retains. */
const AHEAD = 300;
const WALK: readonly Transport[] = ["websocket", "sse", "poll", "stream", "websocket"];
const CUTS = 4;

const count = (visitor: Visitor, channel: string): Promise<number> =>
  visitor.page.evaluate(
    (channel) =>
      lab.notes.filter((note) => note.kind === "event" && note.channel === channel).length,
    channel,
  );

/** The application publishes, a few at once, and now and then a typing event. */
async function publishAll(reader: Visitor, chat: string, typing: string): Promise<void> {
  const base = nextServer();
  for (let sent = 0; sent < EVENTS; ) {
    const numbers = Array.from({ length: 10 }, () => sent++);
    await Promise.all(numbers.map((n) => publish(base, chat, { data: n, id: `event-${n}` })));
    await publish(base, typing, { data: sent });
    await until("the page follows", async () => (await count(reader, chat)) > sent - AHEAD);
  }
}

/** Moves the page and cuts its connections, at moments that the dice choose. */
async function walk(visitor: Visitor, chat: string, dice: Dice): Promise<number> {
  let cuts = 0;
  for (const transport of WALK) {
    await visitor.use(transport);
    // Half of the first cuts come while it moves.
    if (dice.between(0, 1) === 0) await visitor.connected(transport);
    for (let left = CUTS; left > 0; left -= 1) {
      const due = Math.min((await count(visitor, chat)) + dice.between(5, 60), EVENTS);
      await until("some events later", async () => (await count(visitor, chat)) >= due);
      visitor.shim.delayMs = dice.pick([0, 0, 2, 15]);
      visitor.shim.cut(dice.pick(["reset", "end"]));
      cuts += 1;
    }
    await visitor.connected(transport);
  }
  visitor.shim.delayMs = 0;
  return cuts;
}

/** The page speaks all the while, one message after the other. */
async function speak(visitor: Visitor, channel: string): Promise<() => Promise<number>> {
  await visitor.page.evaluate((channel) => {
    const said = { over: false, count: 0, done: Promise.resolve() };
    Object.assign(globalThis, { said });
    const run = async (): Promise<void> => {
      while (!said.over) await lab.client.channel(channel).publish(said.count++);
    };
    said.done = run();
  }, channel);
  return () =>
    visitor.page.evaluate(async () => {
      const { said } = globalThis as unknown as {
        said: { over: boolean; count: number; done: Promise<void> };
      };
      said.over = true;
      await said.done;
      return said.count;
    });
}

// spec: D1, D2, D4, D7, S1, S2, S3, S4, O1, O3, R3
// demand: 9, 77, 82, 87
test("loses, repeats and reorders nothing over every transport with cuts at random moments", async () => {
  const roll = dice("walk");
  const [chat, typing, spoken] = [fresh("chat"), fresh("typing"), fresh("chat")];
  const visitor = await Visitor.open();
  const backoff = { base: 10, cap: 100 };
  await visitor.connect({ transports: ["websocket"], backoff }, { [chat]: {}, [typing]: {} });
  await visitor.joined(typing);
  const silence = await speak(visitor, spoken);

  const [cuts] = await Promise.all([walk(visitor, chat, roll), publishAll(visitor, chat, typing)]);
  await visitor.received(chat, EVENTS);
  const said = await silence();

  const stored = await history(nextServer(), chat);
  const events = await visitor.events(chat);
  const offsets = events.map(({ position }) => Number(position.split(".")[1]));
  expect(offsets).toEqual(Array.from({ length: EVENTS }, (_, index) => index + 1));
  expect(new Set(events.map(({ id }) => id)).size).toBe(EVENTS);
  expect(
    events.slice(-stored.length).map(({ position, id, data }) => [position, id, data]),
  ).toEqual(stored.map(({ pos, id, data }) => [pos, id, data]));
  expect(await visitor.notes("gap")).toEqual([]);

  // Ephemeral events: at most once, in the publisher's order.
  const typed = (await visitor.events(typing)).map(({ data }) => Number(data));
  expect(typed).toEqual([...new Set(typed)].sort((a, b) => a - b));
  const skipped = (await visitor.notes("skipped")).reduce((sum, { count }) => sum + count, 0);
  expect(typed.length + skipped).toBe(EVENTS / 10);
  const resumed = await visitor.notes("resumed");
  expect(resumed.every(({ recovered }) => recovered)).toBe(true);

  const heard = (await history(nextServer(), spoken)).map(({ data }) => data);
  expect(heard).toEqual(Array.from({ length: said }, (_, n) => n).slice(-heard.length));
  console.log(
    `walk: ${cuts} cuts, ${resumed.length} resumes, ${EVENTS} events once and in order, ` +
      `${typed.length} typing events and ${skipped} skipped, ${said} spoken`,
  );
  expect(visitor.uncaught).toEqual([]);
});
