/** Whatever a peer sends, nothing is thrown into the application. */
import { expect, test } from "vitest";
import { Random } from "./fake/random.ts";
import type { Down } from "./fake/session.ts";
import { World } from "./fake/world.ts";

const KINDS = [
  ["l", ["hello", "attached", "ping", "echo", "rotate", "filler", "superseded", "error", "x"]],
  [
    "t",
    [
      "event",
      "ok",
      "error",
      "subscribed",
      "unsubscribed",
      "gap",
      "skipped",
      "caught_up",
      "members",
      "join",
      "update",
      "leave",
      "count",
      "x",
    ],
  ],
] as const;
const NAMES = [
  "ch",
  "pos",
  "id",
  "at",
  "re",
  "code",
  "message",
  "retry_ms",
  "n",
  "v",
  "member",
  "members",
  "link",
  "from",
  "up",
  "ticket",
  "next",
  "nonce",
  "via",
  "durable",
  "state",
  "key",
  "data",
  "users",
  "channels",
  "events",
  "scope",
  "reason",
  "limits",
  "ping_ms",
  "__proto__",
];
const VALUES: readonly [unknown, ...unknown[]] = [
  null,
  0,
  -1,
  1,
  7,
  2 ** 53,
  1.5,
  "",
  "chat:a",
  "__proto__",
  "constructor",
  "e1.1.0000000000000001",
  "ok",
  true,
  false,
  [],
  {},
  [null],
  { id: "m" },
  { id: 5 },
  [{ id: "m" }],
  { "chat:a": null },
];

function frame(random: Random): Down {
  const [member, kinds] = KINDS[random.below(2)] ?? KINDS[0];
  const text = [`${JSON.stringify(member)}:${JSON.stringify(kinds[random.below(kinds.length)])}`];
  for (let n = random.below(8); n > 0; n--) {
    text.push(
      `${JSON.stringify(NAMES[random.below(NAMES.length)])}:${JSON.stringify(random.pick(VALUES))}`,
    );
  }
  return JSON.parse(`{${text.join()}}`);
}

test.each(["websocket", "stream", "sse", "poll"] as const)(
  "random frames over %s throw nothing and end nothing for good",
  async (transport) => {
    for (let seed = 1; seed <= 15; seed++) {
      const random = new Random(seed);
      const world = new World();
      const client = world.connect({ transports: [transport] });
      const channel = client.channel("chat:a", { presence: true });
      const heard: unknown[] = [];
      for (const kind of ["event", "gap", "subscribed", "caught_up", "presence"] as const) {
        channel.on(kind, (value) => heard.push(value));
      }
      for (const kind of ["error", "state", "resumed", "skipped"] as const) {
        client.on(kind, (value) => heard.push(value));
      }
      const requests = [channel.publish(1), channel.history(), client.presence(["u1"])];
      const settled = Promise.allSettled(requests);
      await world.advance(500);
      for (let n = 0; n < 60; n++) {
        const { session } = world;
        const hostile = frame(random);
        // What a gateway counts is replayed; what it does not comes once.
        if ("t" in hostile) session.push(hostile);
        else if (session.live) session.live.send(hostile);
        else session.answerPoll([session.attached(), hostile]);
        await world.advance(random.below(200));
      }
      await world.advance(120_000);
      await settled;
      expect(world.reports, `seed ${seed}`).toEqual([]);
      // An `error` whose code allows no retry is the one thing that may end the client.
      expect(["connected", "failed"], `seed ${seed}`).toContain(client.state);
    }
  },
);
