/** While there is no way to the gateway: what waits, what is refused, and when it is tried again. */
import { describe, expect, test } from "vitest";
import { history } from "./kit/api.ts";
import { startServer } from "./kit/server.ts";
import { fresh, nextServer, until, Visitor } from "./kit/visitor.ts";

const BACKOFF = { base: 8, cap: 64 };

const inState = (visitor: Visitor, state: string): Promise<unknown> =>
  until(`it is ${state}`, () =>
    visitor.page.evaluate((state) => lab.client.state === state, state),
  );

async function offline(visitor: Visitor): Promise<void> {
  visitor.shim.refuses = true;
  visitor.shim.cut();
  await inState(visitor, "reconnecting");
}

/** Publishes the numbers below `count` at once; what each came to is in `outcomes` of the page. */
function publishMany(visitor: Visitor, channel: string, count: number): Promise<void> {
  return visitor.page.evaluate(
    ([channel, count]) => {
      const all = Array.from({ length: count }, (_, n) =>
        lab.client
          .channel(channel)
          .publish(n)
          .then(
            ({ position }) => position,
            ({ code }) => code as string,
          ),
      );
      Object.assign(globalThis, { outcomes: all });
    },
    [channel, count] as const,
  );
}

const outcomes = (visitor: Visitor): Promise<string[]> =>
  visitor.page.evaluate(() =>
    Promise.all((globalThis as unknown as { outcomes: Promise<string>[] }).outcomes),
  );

describe("what is published while offline", () => {
  // spec: P1, P3, O3, S3
  // demand: 87, 88
  test.each(["websocket", "stream", "sse", "poll"] as const)(
    "is stored once, in order, on return over %s",
    async (transport) => {
      const chat = fresh("chat");
      const visitor = await Visitor.open();
      await visitor.connect({ transports: [transport], backoff: BACKOFF }, { [chat]: {} });
      await visitor.connected(transport);
      await visitor.joined(chat);
      await offline(visitor);
      await publishMany(visitor, chat, 50);
      visitor.shim.refuses = false;

      const positions = await outcomes(visitor);
      const stored = await history(nextServer(), chat);
      const numbers = Array.from({ length: 50 }, (_, n) => n);
      expect(stored.map(({ data }) => data)).toEqual(numbers);
      expect(stored.map(({ pos }) => pos)).toEqual(positions);
      expect(await visitor.received(chat, 50)).toEqual(numbers);
      expect(await visitor.notes("resumed")).toEqual([{ kind: "resumed", recovered: true }]);
    },
  );

  // spec: B1
  // demand: 88
  test("is refused with a code where the queue is full", async () => {
    const chat = fresh("chat");
    const visitor = await Visitor.open();
    await visitor.connect({ queue: 10, backoff: BACKOFF }, { [chat]: {} });
    await visitor.joined(chat);
    await offline(visitor);
    await publishMany(visitor, chat, 11);
    const last = await visitor.page.evaluate(
      () => (globalThis as unknown as { outcomes: Promise<string>[] }).outcomes[10],
    );
    visitor.shim.refuses = false;
    await outcomes(visitor);

    expect(last).toBe("queue_full");
    const stored = await history(nextServer(), chat);
    expect(stored.map(({ data }) => data)).toEqual(Array.from({ length: 10 }, (_, n) => n));
  });
});

describe("a gateway that is away", () => {
  // demand: 91, 92
  test("is tried again after delays on the curve, then the client gives up with a reason", async () => {
    const chat = fresh("chat");
    const visitor = await Visitor.open();
    await visitor.page.evaluate((backoff) => {
      let roll = 0;
      const asked: number[] = [];
      const env = {
        random(): number {
          roll = Math.random();
          return roll;
        },
        setTimeout(call: () => void, ms: number): unknown {
          asked.push(ms / roll);
          return setTimeout(call, ms);
        },
      };
      Object.assign(globalThis, { bounds: asked });
      lab.connect(Throughline.connect("/realtime", { backoff, maxRetries: 7, env }));
    }, BACKOFF);
    await visitor.connected();
    visitor.shim.refuses = true;
    await visitor.page.evaluate(() => Object.assign(globalThis, { since: bounds.length }));
    visitor.shim.cut();
    await inState(visitor, "failed");

    const tried = await visitor.page.evaluate(() =>
      bounds
        .slice(since)
        .filter((bound) => [8, 16, 32, 64].some((on) => Math.abs(bound - on) < 1e-6)),
    );
    expect(tried.map(Math.round)).toEqual([8, 16, 32, 64, 64, 64]);
    expect((await visitor.notes("state")).at(-1)).toEqual({
      kind: "state",
      state: "failed",
      transport: null,
      reason: "unreachable",
    });
    await publishMany(visitor, chat, 1);
    expect(await outcomes(visitor)).toEqual(["failed"]);
  });

  // spec: M24, D1, D5
  // demand: 91
  test("and comes back without its memory is one new session and one gap, and nothing queued is lost", async () => {
    const chat = fresh("chat");
    const first = await startServer();
    const visitor = await Visitor.open({ base: first.base });
    await visitor.connect({ backoff: BACKOFF }, { [chat]: { presence: true } });
    await visitor.connected("websocket");
    await visitor.joined(chat);
    await visitor.publish(chat, "before");
    await visitor.received(chat, 1);

    await first.kill();
    await inState(visitor, "reconnecting");
    await publishMany(visitor, chat, 3);
    const second = await startServer();
    try {
      visitor.shim.target = second.base;
      await outcomes(visitor);
      expect(await visitor.received(chat, 4)).toEqual(["before", 0, 1, 2]);
      expect((await history(second.base, chat)).map(({ data }) => data)).toEqual([0, 1, 2]);
      expect(await visitor.notes("resumed")).toEqual([{ kind: "resumed", recovered: false }]);
      expect((await visitor.notes("gap")).map(({ gap }) => gap.reason)).toEqual(["epoch"]);
    } finally {
      await second.kill();
    }
  });
});

declare global {
  var bounds: number[];
  var since: number;
}
