/**
 * The session's exchanges: polls, sends, attaches. All that is not acknowledged goes up with each, and
 * what an answer brings is given to the session, whenever it comes.
 */
import { type Env, freshName } from "../env.ts";
import { INTERCEPTED, isNetwork, refusal, UNREACHABLE } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import { encodeBody } from "../protocol/body.ts";
import type { AttachFrame, FrameUp, LinkUp, Refusal, SessionUp } from "../protocol/frames.ts";
import type { AttachOptions, Output, Session } from "../session/session.ts";
import { addressOf } from "../transports/address.ts";
import { exchange, parseAnswer } from "../transports/exchange.ts";
import type { Recorder } from "./evidence.ts";

/** Refusals of one frame alone after which it is given up. */
const REFUSALS_MAX = 2;

export interface Exchanges {
  /**
   * Session frames that the next exchange may have. Where somebody between refused one that had some, none
   * go next, and beside one that goes through without they go one at a time: so the one that is refused is found.
   */
  readonly room: number;
  /** Whether a POST was ever answered by the gateway. */
  answered: boolean;
  /** Link frames that go up with the next exchange. */
  readonly outgoing: LinkUp[];
  /** Attaches, and brings up everything that waits; session frames only `withSession`. */
  send(
    higher: boolean,
    timeoutMs: number,
    withSession: boolean,
    options?: AttachOptions,
  ): Promise<Refusal | undefined>;
  /**
   * One exchange; the reason, where it was not answered as it should. One that a higher link has
   * overtaken did not fail: what carries the session is decided elsewhere.
   */
  run(frames: FrameUp[], timeoutMs: number): Promise<Refusal | undefined>;
  /** Says that the page leaves, which outlives it, at the live link. Nothing is known of its fate. */
  beacon(): void;
  /** Ends those whose answer has not begun, now or after a while; how many there are. */
  abort(afterMs?: number): number;
}

const isSessionUp = (frame: FrameUp): frame is SessionUp => "seq" in frame;

/** @param act does what the session answers; the reason, where that ends the exchange. */
export function createExchanges(
  env: Env,
  base: string,
  session: Session,
  recorder: Recorder,
  act: (output: Output | undefined) => Refusal | undefined,
): Exchanges {
  const pending = new Set<AbortController>();
  /** How often one frame alone was refused. */
  let refusals = 0;
  let room = Infinity;

  /** What became of an exchange that had these frames; `refused`: somebody answered, and not the gateway. */
  const judge = (up: readonly SessionUp[], refused: boolean, answered: boolean): void => {
    const [first] = up;
    if (answered) {
      if (first) refusals = 0;
      if (room < Infinity) room = session.uplink.hasMore() ? 1 : Infinity;
    } else if (refused && first) {
      room = 0;
      if (up.length > 1 || ++refusals < REFUSALS_MAX) return;
      refusals = 0;
      session.uplink.void(first.seq, refusal("blocked", "refused by the network"));
    }
  };

  const exchanges: Exchanges = {
    answered: false,
    ...(MORE ? { outgoing: [] } : NONE),
    get room() {
      return MORE ? room : NONE;
    },
    send(higher, timeoutMs, withSession, options) {
      const { frames, frame_bytes } = session.hello.limits;
      const links = MORE ? exchanges.outgoing.splice(0, frames - 2) : [];
      const attach = session.attach(higher, options);
      const most = MORE ? Math.min(room, frames - 1 - links.length) : frames - 1;
      const up = !MORE || (withSession && most) ? session.uplink.take(true, most, frame_bytes) : [];
      return exchanges.run([attach, ...links, ...up], timeoutMs);
    },
    async run(frames, timeoutMs) {
      const reader = session.reader();
      const nonce = freshName(env);
      const url = addressOf(base, nonce, "x");
      const sentAt = MORE ? env.now() : 0;
      const { text = "", ok } = await exchange(env, url, timeoutMs, pending, frames);
      const [first] = frames as readonly LinkUp[];
      // The other way was faster: this one's provisional session ends by itself.
      if (session.ticket && first?.l === "open") return undefined;
      const answer = parseAnswer(text);
      let why: Refusal | undefined;
      for (const frame of answer) {
        if (frame.l === "hello" && !session.ticket) {
          // The answer to another request: a cache.
          if (frame.nonce !== nonce) break;
          if (session.isCurrent(reader)) session.opened(frame);
        } else why = act(session.receive(reader, frame, text.length / answer.length)) ?? why;
      }
      if (reader.at === undefined) why ??= MORE && ok ? INTERCEPTED : UNREACHABLE;
      const answered = !isNetwork(why);
      if (answered) exchanges.answered = true;
      if (MORE) judge(frames.filter(isSessionUp), !!text && !answer.length, answered);
      if (!session.isCurrent(reader)) return undefined;
      if (!MORE) return why;
      const tookMs = env.now() - sentAt;
      const held = frames.some((frame) => (frame as AttachFrame).wait);
      const failed = tookMs >= timeoutMs ? "hung" : held ? "cut" : "refused";
      if (answered && !held) recorder.rttMs = tookMs;
      recorder.note("poll", answered ? "ok" : ok ? "intercepted" : failed, tookMs);
      return why;
    },
    beacon: MORE
      ? () => {
          const frames: FrameUp[] = [session.attach(false), { l: "leaving" }];
          env.beacon(addressOf(base, freshName(env), "x"), encodeBody(frames));
        }
      : NONE,
    abort(afterMs = 0) {
      for (const control of pending) env.setTimeout(() => control.abort(), afterMs);
      return pending.size;
    },
  };
  return exchanges;
}
