/** What goes up: numbers, bounds, order, settlement. */
import { expect, test } from "vitest";
import type { Request } from "../src/protocol/frames.ts";
import { createUplink, type Outcome, type Uplink } from "../src/session/uplink.ts";

const BYTES = 65_536;
const publish = (ch: string, id: string): Request => ({ t: "publish", ch, data: 1, id });

function setUp(bound = 1000): {
  uplink: Uplink;
  outcomes: Map<string, Outcome>;
  push(ch: string, id: string): void;
  take(again?: boolean, now?: number): string[];
} {
  let clock = 0;
  const uplink = createUplink(bound, () => clock);
  const outcomes = new Map<string, Outcome>();
  return {
    uplink,
    outcomes,
    push: (ch, id) => uplink.push(publish(ch, id), (outcome) => outcomes.set(id, outcome), BYTES),
    take(again = false, now = 0) {
      clock = now;
      return uplink
        .take(again, 100, BYTES)
        .map((frame) => `${frame.seq}${"id" in frame ? frame.id : ""}`);
    },
  };
}

test("numbers rise from 1 in the order of the requests", () => {
  const { push, take } = setUp();
  push("a", "x");
  push("b", "y");
  expect(take()).toEqual(["1x", "2y"]);
  push("a", "z");
  expect(take()).toEqual(["3z"]);
});

test("what is not acknowledged is sent again, with the same numbers", () => {
  // spec: M28
  const { uplink, push, take } = setUp();
  for (const id of ["x", "y", "z"]) push("a", id);
  take();
  uplink.applied(1);
  expect(take(true)).toEqual(["2y", "3z"]);
});

test("one exchange holds no more than the bound, and at least one frame", () => {
  const { uplink, push } = setUp();
  for (let n = 0; n < 5; n++) push("a", `${n}`);
  expect(uplink.take(true, 2, BYTES).map(({ seq }) => seq)).toEqual([1, 2]);
  expect(uplink.take(true, 2, BYTES).map(({ seq }) => seq)).toEqual([1, 2]);
  expect(uplink.take(true, 10, 1).map(({ seq }) => seq)).toEqual([1]);
  expect(uplink.take(false, 10, BYTES).map(({ seq }) => seq)).toEqual([3, 4, 5]);
});

test("the request beyond the bound is refused with queue_full", () => {
  const { outcomes, push } = setUp(1000);
  for (let n = 0; n < 1001; n++) push("a", `${n}`);
  expect([...outcomes]).toEqual([["1000", expect.objectContaining({ code: "queue_full" })]]);
});

test("a frame above the gateway's limit is refused before it has a number", () => {
  const { uplink, outcomes, take } = setUp();
  const frame: Request = { t: "publish", ch: "a", data: "é".repeat(40_000), id: "x" };
  uplink.push(frame, (outcome) => outcomes.set("x", outcome), BYTES);
  expect(outcomes.get("x")).toMatchObject({ code: "too_large" });
  expect(take()).toEqual([]);
});

test("a publish of unknown outcome is sent again before later ones to its channel", () => {
  // spec: M29, O3
  const { uplink, outcomes, push, take } = setUp();
  push("a", "x");
  take();
  uplink.settle({ t: "error", re: 1, code: "unknown_outcome", message: "", retry_ms: 100 });
  push("a", "y");
  push("b", "z");
  expect(take()).toEqual(["2z"]);
  expect(uplink.wakeAt()).toBe(100);
  expect(take(false, 100)).toEqual(["3x"]);
  expect(take(false, 100)).toEqual([]);
  uplink.settle({ t: "ok", re: 3, id: "x" });
  expect(take(false, 100)).toEqual(["4y"]);
  expect(outcomes.get("x")).toMatchObject({ t: "ok" });
});

test("two of unknown outcome keep their order", () => {
  const { uplink, push, take } = setUp();
  push("a", "x");
  push("a", "y");
  take();
  uplink.settle({ t: "error", re: 1, code: "unknown_outcome", message: "", retry_ms: 5 });
  uplink.settle({ t: "error", re: 2, code: "unknown_outcome", message: "", retry_ms: 5 });
  expect(take(false, 10)).toEqual(["3x"]);
  uplink.settle({ t: "ok", re: 3 });
  expect(take(false, 10)).toEqual(["4y"]);
});

test("an outcome that stays unknown is told in the end", () => {
  const { uplink, outcomes, push, take } = setUp();
  push("a", "x");
  for (let seq = 1; seq <= 6; seq++) {
    take(false, seq * 10);
    uplink.settle({ t: "error", re: seq, code: "unknown_outcome", message: "", retry_ms: 1 });
  }
  expect(outcomes.get("x")).toMatchObject({ code: "unknown_outcome" });
});

test("in a new session only what may be repeated is sent again", () => {
  // spec: S3
  const { uplink, outcomes, push, take } = setUp();
  push("durable", "x");
  push("ephemeral", "y");
  uplink.push({ t: "history", ch: "a" }, (outcome) => outcomes.set("history", outcome), BYTES);
  take();
  push("ephemeral", "z");
  uplink.restart((ch) => ch === "durable");
  expect(outcomes.get("y")).toMatchObject({ code: "unknown_outcome" });
  expect(take()).toEqual(["1x", "2", "3z"]);
});

test("after a reload nothing is numbered before the gateway says where it is", () => {
  const { uplink, push, take } = setUp();
  uplink.resync();
  push("a", "x");
  expect(take(true)).toEqual([]);
  uplink.applied(41);
  expect(take()).toEqual(["42x"]);
});

test("under random losses each frame is applied once, in order", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const { uplink, push } = setUp();
    let state = seed;
    const roll = (): number => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647;
    };
    const applied: string[] = [];
    let up = 0;
    for (let n = 0; n < 30; n++) {
      push("a", `${n}`);
      const frames = uplink.take(roll() < 0.5, 1 + Math.floor(roll() * 5), BYTES);
      // The request is lost, arrives, or arrives twice; its answer may be lost too.
      for (let times = Math.floor(roll() * 3); times > 0; times--) {
        for (const frame of frames) {
          if (frame.seq !== up + 1 || frame.t !== "publish") continue;
          up = frame.seq;
          applied.push(frame.id);
        }
      }
      if (roll() < 0.5) uplink.applied(up);
    }
    for (let round = 0; round < 50; round++) {
      for (const frame of uplink.take(true, 100, BYTES)) {
        if (frame.seq === up + 1 && frame.t === "publish") {
          up = frame.seq;
          applied.push(frame.id);
        }
      }
      uplink.applied(up);
    }
    expect(applied).toEqual(Array.from({ length: 30 }, (_, n) => `${n}`));
  }
});
