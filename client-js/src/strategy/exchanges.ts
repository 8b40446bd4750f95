/**
 * The session's exchanges: polls, sends, attaches. All that is not acknowledged goes up with each, and
 * what an answer brings is given to the session, whenever it comes.
 */
import { type Env, freshName } from "../env.ts";
import { UNREACHABLE } from "../errors.ts";
import { encodeBody } from "../protocol/body.ts";
import { type FrameUp, isLinkFrame, type LinkUp, type Refusal } from "../protocol/frames.ts";
import type { AttachOptions, Output, Reader, Session } from "../session/session.ts";
import { addressOf } from "../transports/address.ts";
import { type Answer, type Exchange, exchange } from "../transports/exchange.ts";

export class Exchanges {
  /** Whether a POST was ever answered by the gateway. */
  answered = false;
  /** Link frames that go up with the next exchange. */
  readonly outgoing: LinkUp[] = [];
  private readonly pending = new Set<Exchange>();
  private readonly env: Env;
  private readonly base: string;
  private readonly session: Session;
  private readonly act: (outputs: Output[]) => Refusal | undefined;

  /** @param act does what the session answers; a refusal, where the exchange failed by it. */
  constructor(
    env: Env,
    base: string,
    session: Session,
    act: (outputs: Output[]) => Refusal | undefined,
  ) {
    this.env = env;
    this.base = base;
    this.session = session;
    this.act = act;
  }

  /** Attaches, and brings up everything that waits; session frames only where told. */
  send(
    options: AttachOptions,
    timeoutMs: number,
    withSession: boolean,
  ): Promise<Refusal | undefined> {
    const { session, outgoing } = this;
    const { frames, frame_bytes } = session.hello.limits;
    const links = outgoing.splice(0, frames - 2);
    const attach = session.attach(options);
    const room = frames - 1 - links.length;
    const up = withSession ? session.uplink.take(this.env.now(), true, room, frame_bytes) : [];
    return this.run([attach, ...links, ...up], timeoutMs);
  }

  /**
   * One exchange; the reason, where it was not answered as it should. One that a higher link has
   * overtaken did not fail: what carries the session is decided elsewhere.
   */
  async run(frames: FrameUp[], timeoutMs: number): Promise<Refusal | undefined> {
    const reader = this.session.reader();
    const nonce = freshName(this.env);
    const one = exchange(this.env, addressOf(this.base, nonce, "x"), frames, timeoutMs);
    this.pending.add(one);
    const answer = await one.answer;
    this.pending.delete(one);
    const why = answer ? this.absorb(reader, answer, nonce) : UNREACHABLE;
    return this.session.isCurrent(reader) ? why : undefined;
  }

  private absorb(reader: Reader, { frames, chars }: Answer, nonce: string): Refusal | undefined {
    const { session } = this;
    let why: Refusal | undefined;
    for (const frame of frames) {
      if (isLinkFrame(frame) && frame.l === "hello" && session.ticket === undefined) {
        // The answer to another request: a cache.
        if (frame.nonce !== nonce) return UNREACHABLE;
        if (session.isCurrent(reader)) session.opened(frame);
      } else {
        why = this.act(session.receive(reader, frame, chars, this.env.now())) ?? why;
      }
    }
    this.answered = true;
    return why ?? (reader.at === undefined ? UNREACHABLE : undefined);
  }

  /** Sends one link frame that outlives the page, at the live link. Nothing is known of its fate. */
  beacon(frame: LinkUp): void {
    const attach = this.session.attach({ higher: false, visible: false });
    const url = addressOf(this.base, freshName(this.env), "x");
    this.env.beacon(url, encodeBody([attach, frame]));
  }

  /** Ends those that are under way, at once or after a while. */
  abort(afterMs = 0): void {
    for (const { abort } of [...this.pending]) {
      if (afterMs > 0) this.env.setTimeout(abort, afterMs);
      else abort();
    }
  }
}
