/** Twelve tabs of one browser: one session, which outlives the tab that holds it. */
import type { CDPSession } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ShareOptions } from "../../src/tabs/index.ts";
import { publish } from "./kit/api.ts";
import { type Server, startServer } from "./kit/server.ts";
import { fresh, until, Visitor } from "./kit/visitor.ts";

const TABS = 12;

let server: Server;
let room: string;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  room = fresh("chat");
});

/** A figure of the gateway's own, over all its labels. */
async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.base}/metrics`)).text();
  const values = text.split("\n").filter((line) => new RegExp(`^${name}[ {]`).test(line));
  return values.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

async function join(visitor: Visitor, options: Pick<ShareOptions, "subject"> = {}): Promise<void> {
  await visitor.page.evaluate(
    ({ options, room }) => {
      lab.connect(Throughline.connectShared("/realtime", options));
      lab.join(room, { presence: true });
    },
    { options, room } as { options: object; room: string },
  );
}

/** Pages of one profile, connected and in the room. */
async function tabs(count: number): Promise<Visitor[]> {
  const first = await Visitor.open({ base: server.base, script: "tabs.js" });
  const all = [first];
  while (all.length < count) all.push(await first.beside());
  for (const visitor of all) await join(visitor);
  for (const visitor of all) {
    await visitor.connected("websocket");
    await visitor.joined(room);
  }
  return all;
}

/** Which of the pages holds the session. */
async function holderOf(all: Visitor[]): Promise<Visitor> {
  const [visitor] = all;
  const id = await visitor?.page.evaluate(async () => {
    const { held = [] } = await navigator.locks.query();
    const holder = held.find(({ name }) => /#[^/]*$/.test(`${name}`));
    return held.find(
      ({ name, clientId }) => name?.includes("/", 40) && clientId === holder?.clientId,
    )?.name;
  });
  for (const visitor of all) if (await owns(visitor, `${id}`)) return visitor;
  throw new Error(`nobody holds ${id}`);
}

/** Whether the page has that lock: each can ask for its own client's. */
async function owns(visitor: Visitor, name: string): Promise<boolean> {
  return visitor.page.evaluate(async (name) => {
    const probe = `probe-${Math.random()}`;
    return navigator.locks.request(probe, async () => {
      const { held = [] } = await navigator.locks.query();
      const me = held.find((lock) => lock.name === probe)?.clientId;
      return held.some((lock) => lock.name === name && lock.clientId === me);
    });
  }, name);
}

const data = async (visitor: Visitor): Promise<unknown[]> =>
  (await visitor.events(room)).map(({ data }) => data);

test("twelve tabs are one session over one connection, and every event is in each once", async () => {
  const opened = await metric("throughline_sessions_opened_total");
  const all = await tabs(TABS);
  expect(await metric("throughline_sessions")).toBe(1);
  expect(await metric("throughline_sessions_opened_total")).toBe(opened + 1);
  await Promise.all(all.map((visitor, at) => visitor.publish(room, at)));
  for (const visitor of all) await visitor.received(room, TABS);
  const seen = await data(all[0] as Visitor);
  expect([...seen].sort()).toEqual(Array.from({ length: TABS }, (_, at) => at).sort());
  for (const visitor of all) expect(await data(visitor)).toEqual(seen);
  console.log(`${TABS} tabs: ${all[0]?.shim.open} connections`);
});

describe("the tab that holds the session", () => {
  test.each(["crashes", "is closed"] as const)(
    "%s: the others go on, and nobody sees a leave",
    async (how) => {
      const watching = await Visitor.open({ base: server.base });
      await watching.connect({ resume: false }, { [room]: { presence: true } });
      await watching.joined(room);
      const opened = await metric("throughline_sessions_opened_total");
      const all = await tabs(TABS);
      const id = await all[0]?.page.evaluate(() => lab.client.me?.id);
      const holder = await holderOf(all);
      let cdp: CDPSession | undefined;
      if (how === "crashes") cdp = await holder.page.context().newCDPSession(holder.page);
      const others = all.filter((visitor) => visitor !== holder);
      const crashed = new Set<Visitor>();
      for (const visitor of all) visitor.page.on("crash", () => crashed.add(visitor));

      // Events are published all the while.
      let sent = 0;
      let goesOn = true;
      const publisher = (async () => {
        while (goesOn) await publish(server.base, room, { data: sent++ });
      })();
      await others[0]?.received(room, 20);
      const sentBefore = sent;
      const at = performance.now();
      if (cdp) void cdp.send("Page.crash").catch(() => undefined);
      else await holder.page.close({ runBeforeUnload: false });
      const survivor = others.find((visitor) => !crashed.has(visitor)) as Visitor;
      await until("events come again", () =>
        survivor.page.evaluate(
          ([room, from]) =>
            lab.notes.some(
              (note) =>
                note.kind === "event" && note.channel === room && Number(note.event.data) >= from,
            ),
          [room, sentBefore + 2] as const,
        ),
      );
      console.log(`${how}: events go on after ${Math.round(performance.now() - at)} ms`);
      await new Promise((resolve) => setTimeout(resolve, 500));
      goesOn = false;
      await publisher;
      const living = others.filter((visitor) => !crashed.has(visitor));
      console.log(`${how}: ${living.length} of ${others.length} other tabs live, ${sent} events`);
      for (const visitor of living) {
        await visitor.received(room, sent);
        expect(await data(visitor)).toEqual(Array.from({ length: sent }, (_, n) => n));
        expect(await visitor.notes("gap")).toEqual([]);
      }
      expect(await metric("throughline_sessions_opened_total")).toBe(opened + 1);
      const leaves = (await watching.notes("presence")).filter(({ change }) => change === "leave");
      expect(leaves).toEqual([]);
      expect(await survivor.page.evaluate(() => lab.client.me?.id)).toBe(id);
    },
  );
});
