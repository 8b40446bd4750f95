/** How many connections a page takes at a time. */
import { expect, test } from "vitest";
import type { Transport } from "../../src/index.ts";
import { publish } from "./kit/api.ts";
import { fresh, nextServer, Visitor } from "./kit/visitor.ts";

const MESSAGES = 30;
/** What was overtaken is answered on a connection of its own, on a busy machine after the next has begun. */
const OVERTAKEN = 1;

// demand: 10
test.each<[Transport, Transport[]]>([
  ["websocket", ["websocket", "stream", "sse", "poll"]],
  ["stream", ["stream", "poll"]],
  ["sse", ["sse", "poll"]],
  ["poll", ["poll"]],
])(
  "a page takes two connections at most where it has %s; proving that takes one more, and an attach another for a moment",
  async (transport, transports) => {
    const chat = fresh("chat");
    const visitor = await Visitor.open();
    await visitor.connect({ transports }, { [chat]: {} });
    await visitor.connected(transport);
    await visitor.joined(chat);
    await visitor.publish(chat, 0);
    await visitor.received(chat, 1);
    const proving = visitor.shim.most;

    visitor.shim.most = 0;
    for (let n = 1; n < MESSAGES; n += 1) {
      await Promise.all([
        visitor.publish(chat, n),
        publish(nextServer(), chat, { data: `from elsewhere ${n}` }),
      ]);
    }
    await visitor.received(chat, 2 * MESSAGES - 1);
    console.log(`${transport}: ${proving} while proving, ${visitor.shim.most} then`);
    expect(proving).toBeLessThanOrEqual(4 + OVERTAKEN);
    expect(visitor.shim.most).toBeLessThanOrEqual(2 + OVERTAKEN);
  },
);
