/** Twelve tabs of one browser: one session, which outlives the tab that holds it. */
import { createHmac } from "node:crypto";
import type { CDPSession } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ShareOptions } from "../../src/tabs/index.ts";
import { publish } from "./kit/api.ts";
import { PATIENT, type Server, startServer } from "./kit/server.ts";
import { fresh, until, Visitor } from "./kit/visitor.ts";

const TABS = 12;

let server: Server;
let room: string;
beforeAll(async () => {
  server = await startServer(PATIENT);
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

/** Who all of the pages are. */
async function member(all: Visitor[]): Promise<string> {
  const ids = await Promise.all(all.map(({ page }) => page.evaluate(() => lab.client.me?.id)));
  const [id] = ids;
  expect(id).toBeTruthy();
  expect(ids).toEqual(ids.map(() => id));
  return `${id}`;
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
  const { shim } = all[0] as Visitor;
  console.log(`${TABS} tabs: ${shim.open} connections`);
  expect(shim.heads.filter((head) => /\r\nupgrade: websocket/i.test(head))).toHaveLength(1);
  expect(shim.open).toBeLessThan(6);
});

/** Milliseconds within which the others notice, and as many as a busy machine takes besides. */
const [NOTICED_MS, SLACK_MS] = [10_000, 10_000];

/** Milliseconds between two events: fewer are published than the channel retains. */
const PACE_MS = 10;

/** Publishes one event after the other until it is stopped; then how many there were. */
function publishing(): { sent: () => number; stop: () => Promise<number> } {
  let sent = 0;
  let goesOn = true;
  const published = (async () => {
    while (goesOn) {
      await publish(server.base, room, { data: sent++ });
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
    return sent;
  })();
  return {
    sent: () => sent,
    stop() {
      goesOn = false;
      return published;
    },
  };
}

/** Notes when events come. */
const watchClock = (visitor: Visitor): Promise<void> =>
  visitor.page.evaluate((room) => {
    const times: number[] = [];
    lab.client.channel(room).on("event", () => times.push(performance.now()));
    Object.assign(globalThis, { times });
  }, room);

/** The longest time without an event, in milliseconds. */
const silence = (visitor: Visitor): Promise<number> =>
  visitor.page.evaluate(() => {
    const { times } = globalThis as unknown as { times: number[] };
    return Math.max(...times.map((time, at) => time - (times[at - 1] ?? time)));
  });

const present = (visitor: Visitor, count: number): Promise<unknown> =>
  until(`${count} are there`, () =>
    visitor.page.evaluate(
      ([room, count]) => lab.client.channel(room).presence.members.size === count,
      [room, count] as const,
    ),
  );

type End = "crashes" | "is closed" | "stands still";

/** Ends a page, or all that runs in it. */
async function end({ page }: Visitor, how: End): Promise<CDPSession | undefined> {
  if (how === "is closed") {
    await page.close({ runBeforeUnload: false });
    return undefined;
  }
  const cdp = await page.context().newCDPSession(page);
  if (how === "crashes") {
    const crashed = new Promise((resolve) => page.once("crash", resolve));
    void cdp.send("Page.crash").catch(() => undefined);
    await crashed;
  } else {
    await cdp.send("Debugger.enable");
    await cdp.send("Debugger.pause");
  }
  return cdp;
}

describe("when the tab that holds the session", () => {
  // spec: D1, D2, R3
  test.each(["crashes", "is closed", "stands still"] as const)(
    "%s, the others go on with it, and nobody sees a leave",
    async (how) => {
      const watching = await Visitor.open({ base: server.base });
      await watching.connect({ resume: false }, { [room]: { presence: true } });
      await watching.joined(room);
      const all = await tabs(TABS);
      const id = await member(all);
      const opened = await metric("throughline_sessions_opened_total");
      const holder = await holderOf(all);
      const others = all.filter((visitor) => visitor !== holder);
      for (const visitor of others) await watchClock(visitor);
      const publisher = publishing();
      await others[0]?.received(room, 20);

      const cdp = await end(holder, how);
      const before = publisher.sent();
      for (const visitor of others) await visitor.received(room, before + 20);
      const sent = await publisher.stop();

      for (const visitor of others) {
        await visitor.received(room, sent);
        expect(await data(visitor)).toEqual(Array.from({ length: sent }, (_, n) => n));
        expect(await visitor.notes("gap")).toEqual([]);
        expect(await visitor.page.evaluate(() => lab.client.me?.id)).toBe(id);
      }
      const silences = await Promise.all(others.map(silence));
      console.log(`${how}: ${sent} events, silent for ${Math.round(Math.max(...silences))} ms`);
      expect(Math.max(...silences)).toBeLessThan(NOTICED_MS + SLACK_MS);
      if (cdp && how === "stands still") {
        await cdp.send("Debugger.resume");
        await cdp.send("Debugger.disable");
        await holder.received(room, sent);
        expect(await data(holder)).toEqual(Array.from({ length: sent }, (_, n) => n));
      }
      expect(await metric("throughline_sessions_opened_total")).toBe(opened);
      // Everybody sees who is there: the tabs are one member, and somebody watches.
      const late = await (others[0] as Visitor).beside();
      await join(late);
      for (const visitor of [...others, late]) await present(visitor, 2);
      const leaves = (await watching.notes("presence")).filter(({ change }) => change === "leave");
      expect(leaves).toEqual([]);
    },
  );
});

/** A token of the development configuration (RFC 7515, RFC 7519). */
function tokenOf(sub: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const caps = { "*": ["subscribe", "publish", "presence", "history"] };
  const text = `${part({ alg: "HS256" })}.${part({ sub, exp, caps })}`;
  const key = "a development secret that everyone knows";
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

test("each tab of a user has the whole inbox, whenever it comes, and no new holder needs a token", async () => {
  // spec: M48, M49
  const user = `alice-${Math.random().toString(36).slice(2)}`;
  const inbox = `@user:${user}`;
  const sign = (visitor: Visitor): Promise<void> =>
    visitor.page.evaluate(
      ({ token, inbox }) => {
        let asked = 0;
        const auth = async (): Promise<string> => {
          if (asked++) throw new Error("signed out");
          return token;
        };
        lab.connect(Throughline.connectShared("/realtime", { auth }));
        lab.join(inbox);
      },
      { token: tokenOf(user), inbox },
    );
  await publish(server.base, inbox, { data: 1 });
  const first = await Visitor.open({ base: server.base, script: "tabs.js" });
  const second = await first.beside();
  for (const visitor of [first, second]) await sign(visitor);
  expect(await first.received(inbox, 1)).toEqual([1]);
  await publish(server.base, inbox, { data: 2 });
  const late = await first.beside();
  await sign(late);
  expect(await late.received(inbox, 2)).toEqual([1, 2]);
  await first.page.close();
  await publish(server.base, inbox, { data: 3 });
  for (const visitor of [second, late]) {
    expect(await visitor.received(inbox, 3)).toEqual([1, 2, 3]);
    expect(await visitor.notes("error")).toEqual([]);
  }
});

test("tabs of two users never share", async () => {
  const first = await Visitor.open({ base: server.base, script: "tabs.js" });
  const all = [first, await first.beside(), await first.beside()];
  for (const [at, visitor] of all.entries()) await join(visitor, { subject: `user ${at % 2}` });
  for (const visitor of all) await visitor.joined(room);
  const ids = await Promise.all(
    all.map((visitor) => visitor.page.evaluate(() => lab.client.me?.id)),
  );
  expect(ids[0]).toBe(ids[2]);
  expect(ids[0]).not.toBe(ids[1]);
});

test("a reload of any tab, and of the only one, goes on with the session", async () => {
  const opened = await metric("throughline_sessions_opened_total");
  const all = await tabs(2);
  const [first, second] = all as [Visitor, Visitor];
  const id = await first.page.evaluate(() => lab.client.me?.id);
  for (const visitor of [await holderOf(all), first, second]) {
    await visitor.load();
    await join(visitor);
    await visitor.joined(room);
  }
  await second.page.close();
  await first.load();
  await join(first);
  await first.joined(room);
  await first.publish(room, "still here");
  expect(await first.received(room, 1)).toEqual(["still here"]);
  expect(await first.page.evaluate(() => lab.client.me?.id)).toBe(id);
  expect(await metric("throughline_sessions_opened_total")).toBe(opened + 1);
});
