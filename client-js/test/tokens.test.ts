/** The application's token: when it is asked for, refused, or cannot be had. */
import { expect, test } from "vitest";
import { World } from "./fake/world.ts";

test("auth is asked on opening, before expiry, and when the token is refused", async () => {
  const world = new World();
  const reasons: string[] = [];
  world.gateway.tokens = new Set(["good"]);
  world.gateway.hello = { expires_ms: 60_000 };
  const client = world.connect({
    auth: async (reason) => {
      reasons.push(reason);
      return reason === "open" ? "bad" : "good";
    },
  });
  await world.advance(1000);
  expect(client.state).toBe("connected");
  expect(reasons).toEqual(["open", "refused"]);
  await world.advance(50_000);
  expect(reasons.at(-1)).toBe("expiring");
  expect(world.gateway.seen.some((frame) => "t" in frame && frame.t === "auth")).toBe(true);
});

test("a token that stays refused ends in failed", async () => {
  const world = new World();
  world.gateway.tokens = new Set(["good"]);
  const client = world.connect({ auth: async () => "bad" });
  await world.advance(60_000);
  expect(client.state).toBe("failed");
});

test("an auth function that throws is tried again", async () => {
  const world = new World();
  let calls = 0;
  const client = world.connect({
    auth: async () => {
      if (calls++ < 3) throw new Error("no network");
      return "token";
    },
  });
  const errors: string[] = [];
  client.on("error", ({ code }) => errors.push(code));
  await world.advance(10_000);
  expect(client.state).toBe("connected");
  expect(errors).toEqual(["auth_failed", "auth_failed", "auth_failed"]);
});
