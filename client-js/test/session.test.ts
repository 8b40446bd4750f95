/** The session as a pure state machine: counting, links, positions. */
import { expect, test } from "vitest";
import { type FrameDown, parseFrame, type SessionDown } from "../src/protocol/frames.ts";
import { createSession, type Reader, type Session } from "../src/session/session.ts";
import { subscription } from "../src/session/subscriptions.ts";
import { Random } from "./fake/random.ts";

const position = (offset: number, epoch = "e"): string => `${epoch}.${offset}.${"0".repeat(16)}`;
const event = (offset: number, epoch = "e"): FrameDown => ({
  t: "event",
  ch: "a",
  pos: position(offset, epoch),
  id: `${offset}`,
  at: 0,
  data: offset,
});

function setUp(durable = true): {
  session: Session;
  read(reader: Reader, ...frames: FrameDown[]): string[];
} {
  let told: string[] = [];
  const deliver = (frame: SessionDown): void => {
    told.push(
      frame.t === "event"
        ? `event ${frame.id}`
        : frame.t === "gap"
          ? `gap ${frame.reason}`
          : frame.t,
    );
  };
  const session = createSession(
    10,
    () => true,
    () => 0,
    deliver,
  );
  session.subs.set("a", subscription("a"));
  session.open({});
  session.opened({ via: "v", nonce: "n", ticket: "t" });
  const read = (reader: Reader, ...frames: FrameDown[]): string[] => {
    told = [];
    for (const frame of frames) {
      const output = session.receive(reader, frame, 10);
      if (typeof output === "string") told.push(output);
      else if (output) told.push(output.reopen ? "reopen" : "end");
    }
    return told;
  };
  const reader = session.reader();
  read(reader, attached(session), { t: "subscribed", ch: "a", pos: position(0), durable });
  return { session, read };
}

function attached(session: Session, from: number = session.count): FrameDown {
  return { l: "attached", link: session.link, from, up: 0, ticket: "t" };
}

function attach(session: Session): Reader {
  session.attach(true);
  return session.reader();
}

test("counts session frames of every kind and no link frame", () => {
  // spec: M2
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session));
  read(
    reader,
    {},
    parseFrame('{"t":"unheard"}') ?? {},
    { l: "filler" },
    parseFrame('{"l":"new"}') ?? {},
  );
  expect(session.count).toBe(1 + 2);
});

test("discards frames of a lower link, uncounted, from the moment a higher one is given", () => {
  // spec: M21
  const { session, read } = setUp();
  const old = attach(session);
  read(old, attached(session));
  const young = attach(session);
  expect(read(old, event(1))).toEqual([]);
  expect(read(young, attached(session), event(1))).toEqual(["attached", "event 1"]);
  expect(session.count).toBe(2);
});

test("frames before `attached` are not counted", () => {
  const { session, read } = setUp();
  expect(read(attach(session), event(1))).toEqual([]);
  expect(session.count).toBe(1);
});

test("the same link twice gives the same frames once", () => {
  // spec: M19
  const { session, read } = setUp();
  const one = attach(session);
  const two = session.reader();
  read(one, attached(session), event(1), event(2));
  expect(read(two, attached(session, 1), event(1), event(2), event(3))).toEqual([
    "attached",
    "event 3",
  ]);
  expect(session.count).toBe(4);
});

test("a ping whose count differs asks for a higher link", () => {
  // spec: M25
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session));
  expect(read(reader, { l: "ping", n: 1, up: 0, next: 7000 })).toEqual(["acknowledge"]);
  expect(read(reader, { l: "ping", n: 2, up: 0, next: 7000 })).toEqual(["reattach"]);
  expect(session.deadline).toBe(9450);
});

test("superseded by a number that was never given ends the session", () => {
  // spec: M23
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session));
  expect(read(reader, { l: "superseded", link: session.link })).toEqual(["end"]);
  expect(read(reader, { l: "superseded", link: session.link + 1 })).toEqual(["reopen"]);
});

test("acknowledges at a quarter of the outbox", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session));
  const told = Array.from({ length: 256 }, (_, n) => read(reader, event(n + 1))).flat();
  expect(told.filter((what) => what === "acknowledge")).toHaveLength(1);
});

test("an event is handed over once, forwards, and a hole on a durable channel is a gap", () => {
  // spec: D1, D2
  const { session, read } = setUp();
  const reader = attach(session);
  expect(read(reader, attached(session), event(1), event(1), event(3), event(2), event(4))).toEqual(
    ["attached", "event 1", "gap hole", "event 3", "event 4"],
  );
});

test("offsets that count on under a new epoch are no gap", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session), event(1));
  expect(read(reader, event(2, "f"))).toEqual(["event 2"]);
});

test("a gap moves the reader, backwards too", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session), event(1), event(2));
  const gap: FrameDown = { t: "gap", ch: "a", reason: "epoch", pos: position(0, "f") };
  expect(read(reader, gap, event(1, "f"))).toEqual(["gap epoch", "event 1"]);
});

test("a state channel is judged by key", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  const keyed = (offset: number, key: string): FrameDown =>
    ({ ...event(offset), key }) as FrameDown;
  read(reader, attached(session), {
    t: "subscribed",
    ch: "a",
    pos: position(9),
    durable: false,
    state: true,
  });
  expect(
    read(reader, keyed(3, "x"), keyed(5, "y"), keyed(3, "x"), keyed(4, "y"), keyed(7, "x")),
  ).toEqual(["event 3", "event 5", "event 7"]);
});

test("frames of an earlier session are nobody's", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session));
  session.reset();
  expect(read(reader, event(1), { l: "superseded", link: 99 })).toEqual([]);
});

test("a new session is opened with the positions of durable channels", () => {
  const { session, read } = setUp();
  const reader = attach(session);
  read(reader, attached(session), event(1), event(2));
  session.reset();
  expect(session.open({}).subs).toMatchObject([{ ch: "a", since: position(2) }]);
});

test("an `open` shows the ticket of the session that is gone until another is opened, and no other", () => {
  // spec: M44
  const { session } = setUp();
  session.reset();
  session.reset(false);
  expect(session.open({}).ticket).toBe("t");
  session.reset();
  expect(session.open({}).ticket).toBe("t");
  session.opened({ via: "v", nonce: "n", ticket: "u" });
  session.reset(false);
  expect(session.open({}).ticket).toBe("u");
  session.reset(true);
  expect(session.open({}).ticket).toBeUndefined();
});

test("hostile hellos are counted with the defaults", () => {
  const { session } = setUp();
  const hello = {
    via: "v",
    nonce: "n",
    ping_ms: null,
    outbox: { frames: "x" },
    limits: [],
    hold_ms: -1,
  };
  session.opened(hello as never);
  expect(session.hello).toMatchObject({
    ping_ms: { visible: 7000, hidden: 25_000 },
    outbox: { frames: 1024, bytes: 1 << 20 },
    hold_ms: 20_000,
  });
});

test("under any interleaving of links each event is handed over once, in order", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const { session, read } = setUp();
    const got: string[] = [];
    // The gateway: what it handed beyond the acknowledged count, and what waits.
    let acked = 1;
    let handed: FrameDown[] = [];
    const queue: FrameDown[] = [];
    let link = session.link;
    // Every connection there ever was, with what is on its way to the client.
    let wires: { reader: Reader; frames: FrameDown[] }[] = [];
    for (let step = 0, offset = 0; step < 200; step++) {
      const what = random.below(10);
      if (what < 4 && offset < 50) queue.push(event(++offset));
      if (what === 4) {
        // A higher link: some of the older ones are lost with what was on its way.
        const reader = attach(session);
        handed.splice(0, session.count - acked);
        acked = session.count;
        queue.unshift(...handed.splice(0));
        link = session.link;
        wires = wires.filter(() => random.roll() < 0.7);
        wires.push({ reader, frames: [attached(session, acked)] });
      }
      const live = wires.find(({ reader }) => reader.link === link);
      if (live) {
        handed = [...handed, ...queue];
        live.frames.push(...queue.splice(0));
      }
      // Any wire delivers next: an older link's frames may come after a younger one's.
      const wire = wires[random.below(Math.max(1, wires.length))];
      for (let n = random.below(3); wire && n > 0; n--) {
        const frame = wire.frames.shift();
        if (frame) got.push(...read(wire.reader, frame).filter((told) => told.startsWith("event")));
      }
    }
    const reader = attach(session);
    got.push(
      ...read(reader, attached(session), ...handed.slice(session.count - acked), ...queue).filter(
        (told) => told.startsWith("event"),
      ),
    );
    const last = got.length;
    expect(got, `seed ${seed}`).toEqual(Array.from({ length: last }, (_, n) => `event ${n + 1}`));
    expect(last).toBeGreaterThan(20);
  }
});
