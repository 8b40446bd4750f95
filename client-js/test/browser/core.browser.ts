/** The core alone, as a page loads it from the gateway. */
import { expect, test } from "vitest";
import type * as core from "../../src/core.ts";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

/** What a page's client was told. */
interface Seen {
  transport: core.Transport | null;
  data: unknown[];
}

/** A page that chats with the core; answers how to speak, and how to look at what it has seen. */
async function chat(channel: string, init?: () => void) {
  const visitor = await Visitor.open(init && { init });
  // As text: what the tests are run by would change an `import()`.
  await visitor.page.evaluate('import("/realtime/core.mjs").then((core) => { self.core = core; })');
  await visitor.page.evaluate((channel) => {
    const page = globalThis as unknown as { core: typeof core };
    const client = page.core.connect("/realtime", { backoff: { base: 10, cap: 100 } });
    const lobby = client.channel(channel);
    const data: unknown[] = [];
    lobby.on("event", (event) => data.push(event.data));
    lobby.on("gap", ({ reason }) => data.push(reason));
    const look = () => ({ transport: client.transport, data });
    Object.assign(globalThis, { look, say: (text: string) => lobby.publish(text) });
  }, channel);
  return {
    visitor,
    look: () => visitor.page.evaluate<Seen>("look()"),
    say: (text: string) => visitor.page.evaluate(`say(${JSON.stringify(text)})`),
  };
}

// spec: D1, D2, S4
// demand: 10, 11, 14
test("two pages chat over a WebSocket and over polls, and miss nothing over cuts", async () => {
  const channel = fresh("chat");
  const alice = await chat(channel);
  const bob = await chat(channel, () => Reflect.deleteProperty(globalThis, "WebSocket"));
  await until("a WebSocket", async () => (await alice.look()).transport === "websocket");
  await until("polls", async () => (await bob.look()).transport === "poll");

  const said: string[] = [];
  for (let n = 0; n < 20; n += 1) {
    for (const who of [alice, bob]) {
      const text = `${who === alice ? "alice" : "bob"} ${n}`;
      await who.say(text);
      said.push(text);
    }
    if (n % 5 === 2) alice.visitor.shim.cut();
    if (n % 5 === 4) bob.visitor.shim.cut("reset");
  }
  await publish(nextServer(), channel, { data: "over" });
  said.push("over");

  for (const who of [alice, bob])
    await until("everything came", async () => (await who.look()).data.length >= said.length);
  expect((await alice.look()).data).toEqual(said);
  expect((await bob.look()).data).toEqual(said);
});
