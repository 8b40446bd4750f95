/** Two pages, each over any transport. */
import { describe, expect, test } from "vitest";
import type { Transport } from "../../src/index.ts";
import { fresh, Visitor } from "./kit/visitor.ts";

const TRANSPORTS: readonly Transport[] = ["websocket", "stream", "sse", "poll"];
const PAIRS = TRANSPORTS.flatMap((ours) => TRANSPORTS.map((theirs) => [ours, theirs] as const));

describe("two pages talk, each message once at both", () => {
  // spec: P1, D2, D6, D7
  // demand: 3, 6, 14, 87
  test.each(PAIRS)("%s to %s", async (ours, theirs) => {
    const [chat, typing] = [fresh("chat"), fresh("typing")];
    const [ann, bob] = await Promise.all([Visitor.open(), Visitor.open()]);
    for (const [visitor, transport] of [
      [ann, ours],
      [bob, theirs],
    ] as const) {
      await visitor.connect({ transports: [transport] }, { [chat]: {}, [typing]: {} });
    }
    for (const [visitor, transport] of [
      [ann, ours],
      [bob, theirs],
    ] as const) {
      await visitor.connected(transport);
      await visitor.joined(chat);
      await visitor.joined(typing);
    }

    const asked = await ann.publish(chat, "did you see the goal?");
    const answered = await bob.publish(chat, "I did");
    await ann.publish(typing, { typing: true });
    await bob.received(typing, 1);

    for (const visitor of [ann, bob]) {
      await visitor.received(chat, 2);
      const events = await visitor.events(chat);
      expect(events.map(({ data, position, id }) => [data, position, id])).toEqual([
        ["did you see the goal?", asked.position, asked.id],
        ["I did", answered.position, answered.id],
      ]);
    }
    expect(await bob.received(typing, 1)).toEqual([{ typing: true }]);
    expect(asked.position).toMatch(/^[\w-]+\.1\.[0-9a-f]{16}$/);
    expect([ann.uncaught, bob.uncaught, ann.complaints, bob.complaints].flat()).toEqual([]);
  });
});
