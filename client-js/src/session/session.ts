/**
 * One session, whatever carries it. Pure: the caller brings frames and the clock, and does what
 * {@link Session.receive} answers. It does no I/O and sets no timer; {@link Session.deadline} says when
 * the live link is to be abandoned.
 */
import { refusal, retryOf } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import {
  type AttachFrame,
  type EventFrame,
  type FrameDown,
  type Hello,
  isObject,
  type LinkDown,
  type OkFrame,
  type OpenFrame,
  type Refusal,
  type SessionDown,
} from "../protocol/frames.ts";
import type { Kept } from "./stored.ts";
import { accept, moved, request, type Subscriptions } from "./subscriptions.ts";
import { createUplink, type Outcome, type Uplink } from "./uplink.ts";

/** Another client goes on with the session, with a number that this one never gave (M23). */
export const SUPERSEDED: Refusal = refusal("superseded", "used elsewhere");

/** What the application is told of. */
export type Delivered = Exclude<SessionDown, OkFrame>;

/** What the caller has to do. */
export type Output =
  /** The connection that was read is the link. */
  | "attached"
  /** Tell the server the count, over the live link. */
  | "acknowledge"
  /** Attach again with a higher link (M25). */
  | "reattach"
  /** This stream ends soon: bring another. */
  | "rotate"
  /** This connection is over; with `reopen` the session is, too: open a new one. */
  | { why: Refusal; reopen: boolean };

/**
 * Where one connection is in the numbering. Frames are numbered by counting from the `from` of its
 * `attached`; before that nothing on it is counted.
 */
export interface Reader {
  readonly session: number;
  readonly link: number;
  /** Number of the last frame read, or none before `attached`. */
  at: number | undefined;
}

/** What an `attach` may say beside the session's own numbers. */
export type AttachOptions = Omit<AttachFrame, "l" | "ticket" | "link" | "count" | "visible">;

/** A link is abandoned after this many announced intervals without a ping (M26). */
const PING_PATIENCE = 1.35;
/** Acknowledge when this part of the server's bound is not acknowledged. */
const ACKNOWLEDGE_PART = 4;

/** What the client counts with: it is there in each {@link Session.hello}. */
type Defaults = Required<Pick<Hello, "ping_ms" | "window_ms" | "hold_ms" | "outbox" | "limits">>;

const LIMITS: Defaults["limits"] = { frame_bytes: 65_536, frames: 100 };
const DEFAULTS: Defaults = MORE
  ? {
      ping_ms: { visible: 7000, hidden: 25_000 },
      window_ms: 120_000,
      hold_ms: 20_000,
      outbox: { frames: 1024, bytes: 1 << 20 },
      limits: LIMITS,
    }
  : ({ limits: LIMITS } as Defaults);

export interface Session {
  readonly subs: Subscriptions;
  readonly uplink: Uplink;
  /** What the server said when it opened, with the defaults of PROTOCOL.md where it did not. */
  hello: Hello & Defaults;
  ticket: string | undefined;
  /** The highest link that was given: only its frames count (M21). */
  link: number;
  /** Session frames read and counted. */
  count: number;
  /** When the live link is to be abandoned; infinite where none has pings. */
  deadline: number;
  /** The frame that opens a session, which is a new one from here on. */
  open(options: Pick<OpenFrame, "token" | "info">): OpenFrame;
  /** The server opened it. */
  opened(hello: Hello): void;
  /** Goes on with a session that outlived its page. */
  restore(kept: Kept): void;
  /**
   * Forgets a session that is over: the next {@link Session.open} begins another, and shows the ticket of
   * the one before (M44), unless that ended for `good`.
   */
  reset(good?: boolean): void;
  /** The frame that names the live link, or with `higher` sets another; it acknowledges either way. */
  attach(higher: boolean, options?: AttachOptions): AttachFrame;
  /** The count, which the server is being told. */
  acknowledge(): number;
  /** A reader for a connection that becomes, or is, the highest link, or of another. */
  reader(link?: number): Reader;
  /** Whether what this reader reads is of the highest link, so that it can still fail. */
  isCurrent(reader: Reader): boolean;
  /** How long the live link may stay without a ping from now on. */
  expectPing(nextMs: number): void;
  /** Reads one frame of a connection. `chars`: its length, as a measure of the server's outbox. */
  receive(reader: Reader, frame: FrameDown, chars: number): Output | undefined;
}

/**
 * @param queue requests that wait at most.
 * @param visible whether somebody can see the page.
 * @param now the time in milliseconds.
 * @param deliver told what the application is to be handed, in order.
 */
export function createSession(
  queue: number,
  visible: () => boolean,
  now: () => number,
  deliver: (frame: Delivered) => void,
): Session {
  const subs: Subscriptions = new Map();
  const uplink = createUplink(queue, now);
  /** Tells connections of an earlier session from those of this one. */
  let generation = 0;
  /** Characters read since the server was last told the count. */
  let unacknowledged = 0;
  /** The ticket of the session before. */
  let before: string | undefined;

  const receiveLink = (reader: Reader, frame: LinkDown): Output | undefined => {
    switch (frame.l) {
      case "attached":
        if (frame.link !== reader.link || frame.link !== session.link) return undefined;
        session.ticket = frame.ticket;
        uplink.applied(frame.up);
        if (frame.from > session.count) return "reattach";
        reader.at ??= frame.from;
        return frame.l;
      case "ping":
        if (reader.at === undefined || !session.isCurrent(reader)) return "acknowledge";
        session.expectPing(frame.next);
        uplink.applied(frame.up);
        return frame.n === session.count ? "acknowledge" : "reattach";
      case "superseded":
        return { why: SUPERSEDED, reopen: frame.link > session.link };
      case "error":
        return { why: frame, reopen: frame.scope === "session" || retryOf(frame.code) === "open" };
      default:
        return MORE && frame.l === "rotate" ? frame.l : undefined;
    }
  };

  const receiveSession = (frame: Exclude<SessionDown, EventFrame>): void => {
    const { t } = frame;
    if (t === "subscribed" || t === "gap") moved(subs.get(frame.ch), frame);
    if (t !== "ok" && (t !== "error" || !frame.re)) deliver(frame);
  };

  const session: Session = {
    subs,
    uplink,
    hello: DEFAULTS as Hello & Defaults,
    ticket: undefined,
    link: 0,
    count: 0,
    deadline: Infinity,
    open(options) {
      session.link = 1;
      return {
        l: "open",
        v: 1,
        ticket: before,
        subs: [...subs.values()].map(request),
        ...(MORE && { visible: visible() }),
        ...options,
      };
    },
    opened(hello) {
      session.hello = MORE ? { ...hello, ...sound(hello, DEFAULTS) } : (hello as Session["hello"]);
      session.ticket = hello.ticket;
    },
    ...(MORE
      ? {
          restore({ ticket, link, count, hello }: Kept) {
            session.opened(hello);
            Object.assign(session, { ticket, link, count });
            uplink.resync();
          },
        }
      : NONE),
    reset(good) {
      generation++;
      before = good ? undefined : (session.ticket ?? before);
      session.ticket = undefined;
      session.link = session.count = unacknowledged = 0;
      session.deadline = Infinity;
      for (const sub of subs.values()) sub.asked = false;
      uplink.restart((ch) => !!subs.get(ch)?.durable);
    },
    attach(higher, options) {
      if (higher) {
        session.link++;
        session.deadline = Infinity;
      }
      const { ticket, link } = session;
      const count = session.acknowledge();
      return { l: "attach", ticket, link, count, ...(MORE && { visible: visible() }), ...options };
    },
    acknowledge() {
      unacknowledged = 0;
      return session.count;
    },
    reader: (link = session.link) => ({ session: generation, link, at: undefined }),
    isCurrent: (reader) => reader.session === generation && reader.link === session.link,
    expectPing(nextMs) {
      session.deadline = now() + nextMs * PING_PATIENCE;
    },
    receive(reader, frame, chars) {
      if (reader.session !== generation) return undefined;
      if (frame.l !== undefined) return receiveLink(reader, frame);
      if (reader.at === undefined || !session.isCurrent(reader)) return undefined;
      reader.at++;
      // A repeat: the same link was read before, or was attached below the count (M19).
      if (reader.at <= session.count) return undefined;
      session.count = reader.at;
      uplink.settle(frame as Outcome);
      const { ch, pos } = frame as EventFrame;
      if (uplink.leaves(ch)) {
        // The subscription that it is of has ended; one of the same name begins after the answer.
      } else if (frame.t === "event") {
        const verdict = accept(subs.get(ch), frame);
        if (verdict === "hole") deliver({ t: "gap", ch, reason: verdict, pos });
        if (verdict) deliver(frame);
      } else if (frame.t) receiveSession(frame);
      const { frames, bytes } = session.hello.outbox;
      // A short frame counts for its part of the bound on frames.
      unacknowledged += Math.max(chars, bytes / frames);
      if (unacknowledged * ACKNOWLEDGE_PART < bytes) return undefined;
      session.acknowledge();
      return "acknowledge";
    },
  };
  return session;
}

/** The value where it has the shape of the fallback, member by member; else the fallback. */
function sound<T>(value: unknown, fallback: T): T {
  if (!isObject(fallback)) return (value as number) > 0 ? (value as T) : fallback;
  return Object.fromEntries(
    Object.entries(fallback).map(([name, part]) => [
      name,
      sound((value as typeof fallback | null | undefined)?.[name], part),
    ]),
  ) as T;
}
