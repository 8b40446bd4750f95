/** What other members see of a page: it comes, looks away, reloads, goes. */
import { beforeEach, describe, expect, test } from "vitest";
import { type Server, startServer } from "./kit/server.ts";
import { fresh, until, Visitor } from "./kit/visitor.ts";

let room: string;
beforeEach(() => {
  room = fresh("chat");
});

/** Somebody who watches the room. */
async function watcher(base?: string): Promise<Visitor> {
  const visitor = await Visitor.open(base === undefined ? {} : { base });
  await visitor.connect({ resume: false }, { [room]: { presence: true } });
  await visitor.joined(room);
  return visitor;
}

async function member(options: Parameters<Visitor["connect"]>[0] = {}): Promise<Visitor> {
  const visitor = await Visitor.open();
  await visitor.connect(options, { [room]: { presence: true } });
  await visitor.joined(room);
  return visitor;
}

const idOf = (visitor: Visitor): Promise<string> =>
  visitor.page.evaluate(() => lab.client.me?.id ?? "");

/** What the watcher was told of one member, in order: `join`, `leave`, `away`, `online`. */
async function seen(watcher: Visitor, id: string): Promise<string[]> {
  const notes = await watcher.notes("presence");
  return notes
    .filter((note) => note.id === id)
    .map(({ change, state }) => (change === "update" ? String(state) : change));
}

const sees = (watcher: Visitor, id: string, change: string, times = 1): Promise<unknown> =>
  until(
    `${change} is seen`,
    async () => (await seen(watcher, id)).filter((what) => what === change).length >= times,
  );

describe("a page that reloads", () => {
  // spec: R1, R3, D4
  // demand: 64, 69, 79
  test.each([["websocket"], ["stream"], ["sse"], ["poll"]] as const)(
    "goes on with its session over %s: the same member, nothing missed, no leave",
    async (transport) => {
      const watching = await watcher();
      const visitor = await member({ transports: [transport] });
      await visitor.connected(transport);
      const id = await idOf(visitor);
      await sees(watching, id, "join");
      await watching.publish(room, "before");
      await visitor.received(room, 1);

      await Promise.all([visitor.load(), watching.publish(room, "meanwhile")]);
      await visitor.connect({ transports: [transport] }, { [room]: { presence: true } });
      await visitor.connected(transport);
      await watching.publish(room, "after");
      // What came while the old page was still there may have been handed to that one.
      const data = await until("the last one came", async () => {
        const events = (await visitor.events(room)).map(({ data }) => data);
        return events.includes("after") && events;
      });

      expect(await idOf(visitor)).toBe(id);
      expect(["after", "meanwhile,after"]).toContain(data.join());
      expect(await visitor.notes("gap")).toEqual([]);
      await visitor.page.evaluate(() => lab.client.close());
      await sees(watching, id, "leave");
      const changes = (await seen(watching, id)).filter(
        (what) => what === "join" || what === "leave",
      );
      expect(changes).toEqual(["join", "leave"]);
    },
  );
});

describe("a page that goes", () => {
  // spec: R1
  // demand: 62, 64
  test("leaves once when its tab is closed", async () => {
    const watching = await watcher();
    const visitor = await member();
    const id = await idOf(visitor);
    await sees(watching, id, "join");
    await visitor.page.close();
    await sees(watching, id, "leave");
    await watching.publish(room, "is anybody there?");
    await watching.received(room, 1);
    expect((await seen(watching, id)).filter((what) => what !== "away")).toEqual(["join", "leave"]);
  });

  // spec: R1
  // demand: 64
  test.each(["websocket", "stream", "sse", "poll"] as const)(
    "leaves at once by close() over %s",
    async (transport) => {
      const watching = await watcher();
      const visitor = await member({ transports: [transport] });
      await visitor.connected(transport);
      const id = await idOf(visitor);
      await sees(watching, id, "join");
      await visitor.page.evaluate(() => lab.client.close());
      await sees(watching, id, "leave");
      expect(await seen(watching, id)).toEqual(["join", "leave"]);
      expect((await visitor.notes("state")).at(-1)).toMatchObject({ state: "closed" });
    },
  );
});

describe("a page that is not looked at", () => {
  const look = (visitor: Visitor, state: "hidden" | "visible"): Promise<void> =>
    visitor.page.evaluate((state) => {
      const hidden = state === "hidden";
      Object.defineProperty(document, "visibilityState", { configurable: true, value: state });
      Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);

  // demand: 68, 73
  test("is away, and online when it is looked at again", async () => {
    const watching = await watcher();
    const visitor = await member();
    const id = await idOf(visitor);
    await sees(watching, id, "join");
    await look(visitor, "hidden");
    await sees(watching, id, "away");
    await look(visitor, "visible");
    await sees(watching, id, "online");
    expect(await seen(watching, id)).toEqual(["join", "away", "online"]);
  });

  // spec: M26, R1
  // demand: 63, 68
  test("is gone while its scripts stand still, and comes back", async () => {
    const server: Server = await startServer({
      THROUGHLINE_SESSION__PING_VISIBLE: "1s",
      THROUGHLINE_SESSION__PING_HIDDEN: "1s",
      THROUGHLINE_SESSION__GRACE: "0s",
      THROUGHLINE_SESSION__LEAVING_GRACE: "0s",
    });
    try {
      const watching = await watcher(server.base);
      const visitor = await watcher(server.base);
      const id = await idOf(visitor);
      await sees(watching, id, "join");
      const cdp = await visitor.page.context().newCDPSession(visitor.page);
      // As in a frozen tab no script runs; this browser freezes none that it shows.
      await cdp.send("Debugger.enable");
      await cdp.send("Debugger.pause");
      await sees(watching, id, "leave");
      await cdp.send("Debugger.resume");
      await cdp.send("Debugger.disable");
      const back = async (): Promise<boolean> =>
        (await seen(watching, await idOf(visitor))).at(-1) === "join";
      await until("it is back", back);
      await watching.publish(room, "welcome back");
      expect(await visitor.received(room, 1)).toEqual(["welcome back"]);
    } finally {
      await server.stop();
    }
  });
});
