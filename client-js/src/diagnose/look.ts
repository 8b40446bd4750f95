/** The probes in their order: one session, at most three connections at a time. */
import { freshName } from "../env.ts";
import type { FrameUp } from "../protocol/frames.ts";
import { EVERY_MS } from "./facts.ts";
import { EXCHANGE_MS, LARGE_BYTES, type LinkSeen, type Observed, STEP_MS } from "./observed.ts";
import { ask, type Ground, type Watched, watch } from "./probe.ts";

/** What is being looked at, in the order in which it is. */
export type Step = "exchange" | "websocket" | "stream" | "sse" | "poll" | "bodies";

/** Messages that are asked for on each connection. */
const ECHOES = 3;
/** Milliseconds for which the last of them is waited for. */
const LAST_MS = 1500;
/** A poll may take this many milliseconds more than it is held. */
const POLL_GRACE_MS = 2500;

const ABSENT: LinkSeen = { present: false, bytes: 0, foreign: false, echoes: [] };

/** Asks for messages one by one, and sees when each comes. */
async function listen(
  ground: Ground,
  watched: Watched,
  askFor: (id: string, via: string) => void,
): Promise<LinkSeen> {
  await watched.ready;
  const via = watched.via();
  for (let left = ECHOES; left > 0 && via !== undefined && !ground.signal.aborted; left--) {
    const id = freshName(ground.env);
    watched.asks(id);
    askFor(id, via);
    await ground.pause(left > 1 ? EVERY_MS : LAST_MS);
  }
  watched.close();
  return watched.seen();
}

async function lookAtWebSocket(ground: Ground, first: FrameUp): Promise<LinkSeen> {
  if (!ground.env.WebSocket) return ABSENT;
  const watched = watch(ground, "ws", first, STEP_MS);
  return listen(ground, watched, (id) => watched.send({ l: "echo", id }));
}

/**
 * Looks at everything, best first.
 * @param holdMs for which the gateway is asked to hold a poll.
 */
export async function look(
  ground: Ground,
  token: string | undefined,
  holdMs: number,
  onStep: (step: Step) => void = () => undefined,
): Promise<Pick<Observed, "open" | "websocket"> & Partial<Observed>> {
  const opening: FrameUp = { l: "open", v: 1, token };
  onStep("exchange");
  const opened = await ask(ground, [opening], EXCHANGE_MS);
  const hello = opened.frames.find((frame) => frame.l === "hello");
  const ticket = hello?.l === "hello" ? hello.ticket : undefined;
  const open = opened.seen;
  if (open.result !== "ok" || ticket === undefined) {
    const get = open.result === "refused" ? undefined : await ask(ground, [], STEP_MS, "GET");
    const isMute = get && !["ok", "refused"].includes(get.seen.result);
    const anything = isMute ? await ask(ground, [], STEP_MS, "unread") : undefined;
    onStep("websocket");
    const websocket = await lookAtWebSocket(ground, opening);
    return { open, get: get?.seen, anything: anything?.seen, websocket };
  }

  let link = 1;
  /** Takes part in the session: a repeat of the last link, or of the next. None of its frames is counted. */
  const attach = (next: boolean, wait = 0, more: object = {}): FrameUp => {
    if (next) link++;
    return { ...more, l: "attach", ticket, link, count: 0, wait };
  };
  const warm = await ask(ground, [attach(true)], EXCHANGE_MS);
  onStep("websocket");
  const candidate: FrameUp = { l: "candidate", v: 1, ticket };
  const websocket = await lookAtWebSocket(ground, candidate);
  const lookAtStream = (kind: "s" | "e"): Promise<LinkSeen> => {
    const watched = watch(ground, kind, candidate, STEP_MS);
    return listen(ground, watched, (id, via) => {
      void ask(ground, [attach(false), { l: "echo", id, via }], EXCHANGE_MS);
    });
  };
  onStep("stream");
  const stream = await lookAtStream("s");
  onStep("sse");
  const sse = await lookAtStream("e");
  onStep("poll");
  const poll = await ask(ground, [attach(true, holdMs)], holdMs + POLL_GRACE_MS);
  onStep("bodies");
  // Members that are not known are ignored (M1).
  const pad = "x".repeat(LARGE_BYTES);
  const large = await ask(ground, [attach(true, 0, { pad })], EXCHANGE_MS);
  const text = await ask(ground, [attach(true)], EXCHANGE_MS, "text/plain");
  const json = await ask(ground, [attach(true)], EXCHANGE_MS, "application/json");
  await ask(ground, [attach(true), { l: "close" }], EXCHANGE_MS);
  const bodies = { large: large.seen, text: text.seen, json: json.seen };
  return { open, warm: warm.seen, websocket, stream, sse, poll: poll.seen, bodies };
}
