/** Ephemeral events and a break: never old, always counted. */
import { expect, test } from "vitest";
import type { Transport } from "../../src/index.ts";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

/** Milliseconds: `session.ephemeral_age`, after which such an event is not replayed. */
const AGE_MS = 2000;
const TRANSPORTS: readonly Transport[] = ["websocket", "stream", "sse", "poll"];

// spec: D4, D7, M33
// demand: 80, 82, 100
test("after a break the chat comes, typing that is old does not, and its count does, over each transport", async () => {
  const base = nextServer();
  const [chat, typing] = [fresh("chat"), fresh("typing")];
  const visitors = await Promise.all(
    TRANSPORTS.map(async (transport) => {
      const visitor = await Visitor.open();
      const backoff = { base: 10, cap: 50 };
      await visitor.connect({ transports: [transport], backoff }, { [chat]: {}, [typing]: {} });
      await visitor.connected(transport);
      await visitor.joined(typing);
      return visitor;
    }),
  );
  const all = (what: (visitor: Visitor) => unknown): Promise<unknown> =>
    Promise.all(visitors.map(what));
  await publish(base, typing, { data: "seen" });
  await all((visitor) => visitor.received(typing, 1));

  for (const { shim } of visitors) {
    shim.refuses = true;
    shim.cut();
  }
  await all((visitor) =>
    until("it noticed", async () => {
      const states = await visitor.notes("state");
      return states.some(({ state }) => state === "reconnecting");
    }),
  );
  for (const data of ["old", "older"]) await publish(base, typing, { data });
  const publishedAt = Date.now();
  for (const data of [1, 2, 3]) await publish(base, chat, { data });
  await until("the typing is old", () => Date.now() - publishedAt > AGE_MS);
  for (const { shim } of visitors) shim.refuses = false;
  await all((visitor) => visitor.received(chat, 3));
  await publish(base, chat, { data: "live" });
  await publish(base, typing, { data: "new" });
  await all((visitor) => visitor.received(chat, 4));
  await all((visitor) => visitor.received(typing, 2));

  for (const visitor of visitors) {
    const told = (await visitor.page.evaluate(() => lab.notes)).flatMap((note) => {
      if (note.kind === "event") return [note.event.data];
      return note.kind === "skipped" ? [`skipped ${note.count}`] : [];
    });
    expect(told.filter((item) => typeof item === "number")).toEqual([1, 2, 3]);
    expect(told.filter((item) => typeof item === "string").sort()).toEqual([
      "live",
      "new",
      "seen",
      "skipped 2",
    ]);
    const kinds = (await visitor.page.evaluate(() => lab.notes)).map((note) =>
      note.kind === "event" ? note.event.data : note.kind,
    );
    expect(kinds.indexOf("caught_up", kinds.indexOf(3))).toBeLessThan(kinds.indexOf("live"));
  }
});
