/** Which tabs share, and whose tokens they show. */
import { expect, test } from "vitest";
import type { ThroughlineError } from "../src/index.ts";
import { Browser } from "./fake/tabs.ts";

const token = (sub: string): string =>
  ["e30", Buffer.from(JSON.stringify({ sub })).toString("base64url"), sub].join(".");

test("two users never share", async () => {
  const browser = new Browser();
  const { world } = browser;
  for (const user of ["ann", "bob", "ann"]) browser.open({ auth: async () => token(user) });
  await world.advance(1000);
  expect(world.gateway.sessions.size).toBe(2);
  browser.open();
  browser.open({ subject: "ann" });
  await world.advance(1000);
  expect(world.gateway.sessions.size).toBe(4);
});

test("a token without a subject shares with nobody", async () => {
  const browser = new Browser();
  const { world } = browser;
  for (const opaque of ["x", "x"]) browser.open({ auth: async () => opaque });
  await world.advance(1000);
  expect(browser.tabs.map(({ client }) => client.state)).toEqual(["connected", "connected"]);
  expect(world.gateway.sessions.size).toBe(2);
});

test("auth is asked once for a session of many tabs, and not again for a new holder", async () => {
  const browser = new Browser();
  const { world } = browser;
  world.gateway.tokens = new Set([token("ann")]);
  const asked: string[] = [];
  for (let tab = 0; tab < 3; tab++) {
    browser.open({
      subject: "ann",
      auth: async (reason) => {
        asked.push(`${tab} ${reason}`);
        return token("ann");
      },
    });
  }
  await world.advance(1000);
  browser.holder?.kill();
  await world.advance(1000);
  expect(asked).toEqual(["0 open"]);
  expect(world.gateway.sessions.size).toBe(1);
});

test("a token that is renewed before the holder dies is renewed by the next one in time", async () => {
  const browser = new Browser();
  const { world } = browser;
  world.gateway.hello = { expires_ms: 60_000 };
  const asked: string[] = [];
  for (let tab = 0; tab < 2; tab++) {
    browser.open({
      auth: async (reason) => {
        if (reason !== "open") asked.push(`${tab} ${reason}`);
        return token("ann");
      },
    });
  }
  await world.advance(1000);
  browser.holder?.kill();
  await world.advance(60_000);
  expect(asked).toEqual(["1 expiring"]);
});

test("a holder that has no fresh token asks the other tabs, and takes none of another user", async () => {
  const browser = new Browser();
  const { world } = browser;
  world.gateway.tokens = new Set([token("ann")]);
  world.gateway.hello = { expires_ms: 60_000 };
  let isOut = false;
  browser.open({
    auth: async (reason) => {
      if (isOut) throw new Error(`signed out at ${reason}`);
      return token("ann");
    },
  });
  const others = ["bob", "ann"].map((user) => {
    const asked: string[] = [];
    let calls = 0;
    browser.open({
      auth: async (reason) => {
        asked.push(reason);
        // The tab was opened by Ann; whoever signed in since is somebody else.
        return token(calls++ ? user : "ann");
      },
    });
    return asked;
  });
  await world.advance(1000);
  isOut = true;
  await world.advance(60_000);
  expect(others).toEqual([
    ["open", "expiring"],
    ["open", "expiring"],
  ]);
  const renewals = world.gateway.seen.filter((frame) => "t" in frame && frame.t === "auth");
  expect(renewals).toMatchObject([{ token: token("ann") }]);
});

test("where the token cannot be had the tab says so, and gives up as it was told to", async () => {
  const browser = new Browser();
  const { world } = browser;
  const { client } = browser.open({
    maxRetries: 1,
    auth: async () => {
      throw new Error("offline");
    },
  });
  const codes: string[] = [];
  client.on("error", ({ code }: ThroughlineError) => codes.push(code));
  await world.advance(5000);
  expect(client.state).toBe("failed");
  expect(codes).toEqual(["auth_failed", "auth_failed"]);
});

test("what fails for the holder fails for all, and the next tab begins anew", async () => {
  const browser = new Browser();
  const { world } = browser;
  world.gateway.tokens = new Set();
  const auth = async (): Promise<string> => token("ann");
  const tabs = [browser.open({ auth }), browser.open({ auth })];
  const published = tabs.map(({ client }) =>
    client
      .channel("chat:a")
      .publish(1)
      .catch((error: ThroughlineError) => error.code),
  );
  await world.advance(5000);
  expect(tabs.map(({ client }) => client.state)).toEqual(["failed", "failed"]);
  expect(await Promise.all(published)).toEqual(["failed", "failed"]);
  world.gateway.tokens = undefined;
  const next = browser.open({ auth });
  await world.advance(1000);
  expect(next.client.state).toBe("connected");
});

test.each([
  ["has no locks", { locks: undefined }],
  ["has no BroadcastChannel", { BroadcastChannel: undefined }],
  ["may not use its locks", { locks: { request: () => Promise.reject(new Error("opaque")) } }],
])("a page that %s connects by itself", async (_, env) => {
  const browser = new Browser();
  const { world } = browser;
  const tabs = [browser.open({ env }), browser.open({ env })];
  const got: unknown[] = [];
  for (const { client } of tabs) client.channel("chat:a").on("event", ({ data }) => got.push(data));
  await world.advance(1000);
  expect(world.gateway.sessions.size).toBe(2);
  world.gateway.publish("chat:a", 1);
  await world.advance(100);
  expect(got).toEqual([1, 1]);
});

test("the tab that is one too many connects by itself", async () => {
  const browser = new Browser();
  const { world } = browser;
  for (let tab = 0; tab < 65; tab++) {
    browser.open().show(false);
    await world.advance(50);
  }
  await world.advance(2000);
  expect(new Set(browser.tabs.map(({ client }) => client.state))).toEqual(new Set(["connected"]));
  expect(world.gateway.sessions.size).toBe(2);
}, 60_000);
