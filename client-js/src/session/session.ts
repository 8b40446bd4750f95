/**
 * One session, whatever carries it. Pure: the caller brings frames and `now`, and does what
 * {@link Session.receive} answers, in order. It does no I/O and sets no timer; {@link Session.deadline}
 * says when the live link is to be abandoned.
 */
import { retryOf, SUPERSEDED } from "../errors.ts";
import {
  type AttachFrame,
  type FrameDown,
  type Hello,
  isLinkFrame,
  isObject,
  type LinkDown,
  type OpenFrame,
  type Refusal,
  type SessionDown,
} from "../protocol/frames.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Uplink } from "./uplink.ts";

/** What the caller has to do. */
export type Output =
  /** Hand this to the application. */
  | { do: "deliver"; frame: SessionDown }
  /** The connection that was read is the link. */
  | { do: "attached" }
  /** Tell the server the count, over the live link. */
  | { do: "acknowledge" }
  /** Attach again with a higher link (M25). */
  | { do: "reattach" }
  /** The session is over: open a new one. */
  | { do: "reopen"; why: Refusal }
  /** This connection is over. */
  | { do: "end"; why: Refusal }
  /** This stream ends soon: bring another. */
  | { do: "rotate" };

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

/** What a session is resumed from after a reload. */
export interface Kept {
  ticket: string;
  link: number;
  count: number;
  hello: Hello;
}

/** What an `attach` may say beside the session's own numbers. */
export interface AttachOptions {
  /** Take a higher link, rather than name the live one. */
  higher: boolean;
  via?: string | undefined;
  wait?: number;
  token?: string | undefined;
  visible: boolean;
}

/** A link is abandoned after this many announced intervals without a ping (M26). */
const PING_PATIENCE = 1.35;
/** Acknowledge when this part of the server's bound is not acknowledged. */
const ACKNOWLEDGE_PART = 4;

/** A hello of which everything that the client counts with is there. */
export type SoundHello = Hello &
  Required<Pick<Hello, "ping_ms" | "window_ms" | "hold_ms" | "outbox" | "limits">>;

const DEFAULTS: Omit<SoundHello, "via" | "nonce"> = {
  ping_ms: { visible: 7000, hidden: 25000 },
  window_ms: 120_000,
  hold_ms: 20_000,
  outbox: { frames: 1024, bytes: 1 << 20 },
  limits: { frame_bytes: 65_536, frames: 100, subscriptions: 128 },
};

export class Session {
  readonly subs: Subscriptions = new Subscriptions();
  readonly uplink: Uplink;
  /** What the server said when it opened, with the defaults of PROTOCOL.md where it did not. */
  hello: SoundHello = { via: "", nonce: "", ...DEFAULTS };
  ticket: string | undefined;
  /** The highest link that was given: only its frames count (M21). */
  link = 0;
  /** Session frames read and counted. */
  count = 0;
  /** When the live link is to be abandoned; infinite where none has pings. */
  deadline: number = Number.POSITIVE_INFINITY;

  /** Tells connections of an earlier session from those of this one. */
  private generation = 0;
  /** The count that the server was last told. */
  private acknowledged = 0;
  /** Characters read since. */
  private unacknowledged = 0;

  constructor(queue: number) {
    this.uplink = new Uplink(queue);
  }

  /** The frame that opens a session, which is a new one from here on. */
  open(options: Omit<OpenFrame, "l" | "v" | "subs" | "link">): OpenFrame {
    this.link = 1;
    return { l: "open", v: 1, subs: this.subs.requests(), ...options };
  }

  /** The server opened it. */
  opened(hello: Hello): void {
    this.hello = { ...hello, ...sound(hello, DEFAULTS) };
    this.ticket = hello.ticket;
  }

  /** Goes on with a session that outlived its page. */
  resume(kept: Kept): void {
    this.opened(kept.hello);
    this.ticket = kept.ticket;
    this.link = kept.link;
    this.count = kept.count;
    this.acknowledged = kept.count;
    this.uplink.resume();
  }

  /** Forgets a session that is over: the next {@link open} begins another. */
  reset(): void {
    this.generation++;
    this.ticket = undefined;
    this.link = 0;
    this.count = 0;
    this.acknowledged = 0;
    this.unacknowledged = 0;
    this.deadline = Number.POSITIVE_INFINITY;
    for (const sub of this.subs.values()) sub.asked = false;
    this.uplink.restart((ch) => this.subs.get(ch)?.durable === true);
  }

  /** The frame that sets the link, or names the live one; it acknowledges either way. */
  attach({ higher, ...rest }: AttachOptions): AttachFrame {
    if (higher) {
      this.link++;
      this.deadline = Number.POSITIVE_INFINITY;
    }
    return {
      l: "attach",
      ticket: this.ticket,
      link: this.link,
      count: this.acknowledge(),
      ...rest,
    };
  }

  /** The count, which the server is being told. */
  acknowledge(): number {
    this.unacknowledged = 0;
    this.acknowledged = this.count;
    return this.count;
  }

  /** A reader for a connection that becomes, or is, the highest link. */
  reader(): Reader {
    return { session: this.generation, link: this.link, at: undefined };
  }

  /** Whether what this reader reads is of the highest link, so that it can still fail. */
  isCurrent(reader: Reader): boolean {
    return reader.session === this.generation && reader.link === this.link;
  }

  /** How long the live link may stay without a ping from now on. */
  expectPing(nextMs: number, now: number): void {
    this.deadline = now + nextMs * PING_PATIENCE;
  }

  /** Reads one frame of a connection. `chars`: its length, as a measure of the server's outbox. */
  receive(reader: Reader, frame: FrameDown, chars: number, now: number): Output[] {
    if (reader.session !== this.generation) return [];
    if (isLinkFrame(frame)) return this.receiveLink(reader, frame, now);
    if (reader.at === undefined || !this.isCurrent(reader)) return [];
    reader.at++;
    // Another answer for the same link brought it already: the same numbers are the same frames.
    if (reader.at <= this.count) return [];
    this.count = reader.at;
    this.unacknowledged += chars;
    const outputs: Output[] = frame.t ? this.receiveSession(frame, now) : [];
    const { frames, bytes } = this.hello.outbox;
    const many = (this.count - this.acknowledged) * ACKNOWLEDGE_PART >= frames;
    if (many || this.unacknowledged * ACKNOWLEDGE_PART >= bytes) {
      this.acknowledge();
      outputs.push({ do: "acknowledge" });
    }
    return outputs;
  }

  private receiveLink(reader: Reader, frame: LinkDown, now: number): Output[] {
    switch (frame.l) {
      case "attached":
        if (frame.link !== reader.link || frame.link !== this.link) return [];
        this.ticket = frame.ticket;
        this.uplink.applied(frame.up);
        if (frame.from > this.count) return [{ do: "reattach" }];
        reader.at ??= frame.from;
        return [{ do: "attached" }];
      case "ping":
        if (reader.at === undefined || !this.isCurrent(reader)) return [{ do: "acknowledge" }];
        this.expectPing(frame.next, now);
        this.uplink.applied(frame.up ?? 0);
        return [{ do: frame.n === this.count ? "acknowledge" : "reattach" }];
      case "superseded":
        // By a number that this client never gave: somebody else has its ticket (M23).
        return [{ do: frame.link > this.link ? "reopen" : "end", why: SUPERSEDED }];
      case "rotate":
        return [{ do: "rotate" }];
      case "error":
        return [
          {
            do: frame.scope === "session" || retryOf(frame.code) === "open" ? "reopen" : "end",
            why: frame,
          },
        ];
      default:
        return [];
    }
  }

  private receiveSession(frame: SessionDown, now: number): Output[] {
    switch (frame.t) {
      case "event": {
        const verdict = this.subs.accept(frame);
        if (verdict === "repeat") return [];
        const hole: SessionDown = { t: "gap", ch: frame.ch, reason: "hole", pos: frame.pos };
        const event: Output = { do: "deliver", frame };
        return verdict === "hole" ? [{ do: "deliver", frame: hole }, event] : [event];
      }
      case "ok":
        this.uplink.settle(frame, now);
        return [];
      case "error":
        this.uplink.settle(frame, now);
        return frame.re === undefined ? [{ do: "deliver", frame }] : [];
      case "subscribed":
        this.uplink.subscribed(frame.re);
        this.subs.moved(frame);
        return [{ do: "deliver", frame }];
      case "gap":
        this.subs.moved(frame);
        return [{ do: "deliver", frame }];
      default:
        return [{ do: "deliver", frame }];
    }
  }
}

/** The value where it has the shape of the fallback, member by member; else the fallback. */
function sound<T>(value: unknown, fallback: T): T {
  if (isObject(fallback)) {
    const given = isObject(value) ? value : {};
    const members = Object.entries(fallback).map(([name, part]) => [
      name,
      sound(given[name], part),
    ]);
    return Object.fromEntries(members) as T;
  }
  return typeof value === "number" && value > 0 ? (value as T) : fallback;
}
