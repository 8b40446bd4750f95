/**
 * Where the reader stands in each channel. Pure. The server already delivers each event once and in
 * order; this is the defence that makes D1 and D2 hold whatever a peer sends.
 */
import type { EventFrame, SessionDown, SubscriptionRequest } from "../protocol/frames.ts";
import { type Position, parsePosition } from "../protocol/position.ts";

/** Keys of one state channel whose last position is kept; above it the oldest is forgotten. */
const KEYS_MAX = 10_000;

/** One channel of the session. */
export interface Subscription {
  readonly ch: string;
  /** Whether changes of presence are wanted. */
  presence: boolean;
  /** Where to read on in a new session: the last event of a durable channel, or what the page asked for. */
  since: string | undefined;
  /** Known from the server's `subscribed`. */
  durable: boolean;
  state: boolean;
  /** Whether the session that is open has been asked for it. */
  asked: boolean;
  /** Position of the last event. */
  last: Position | undefined;
  /** Position of the last event of each key of a state channel. */
  readonly keys: Map<string, Position>;
}

/** What to do with an event: hand it over, hand over a gap first, or neither. */
export type Verdict = "next" | "hole" | "repeat";

export class Subscriptions {
  private readonly all = new Map<string, Subscription>();

  get(ch: string): Subscription | undefined {
    return this.all.get(ch);
  }

  add(ch: string, presence = false, since?: string): Subscription {
    const sub: Subscription = {
      ch,
      presence,
      since,
      durable: false,
      state: false,
      asked: false,
      last: parsePosition(since ?? ""),
      keys: new Map(),
    };
    this.all.set(ch, sub);
    return sub;
  }

  delete(ch: string): void {
    this.all.delete(ch);
  }

  values(): Subscription[] {
    return [...this.all.values()];
  }

  /** What a new session is opened with; from here on it has been asked. */
  requests(): SubscriptionRequest[] {
    return this.values().map(request);
  }

  /** Judges an event of a known channel, and moves the reader there unless it is a repeat. */
  accept(frame: EventFrame): Verdict {
    const sub = this.all.get(frame.ch);
    const at = parsePosition(frame.pos);
    if (!sub || !at) return "repeat";
    const key = frame.key ?? "";
    const last = sub.state ? sub.keys.get(key) : sub.last;
    if (last && last.epoch === at.epoch && at.offset <= last.offset) return "repeat";
    if (sub.state) {
      const [oldest] = sub.keys.keys();
      if (oldest !== undefined && sub.keys.size >= KEYS_MAX) sub.keys.delete(oldest);
      sub.keys.set(key, at);
      return "next";
    }
    sub.last = at;
    if (sub.durable) sub.since = frame.pos;
    // Offsets count on over a change of epoch, so the next is one higher whatever the epoch.
    return sub.durable && last && at.offset !== last.offset + 1 ? "hole" : "next";
  }

  /** A subscription began, or lost events: the reader stands where the server says. */
  moved(frame: Extract<SessionDown, { t: "subscribed" | "gap" }>): void {
    const sub = this.all.get(frame.ch);
    if (!sub) return;
    if (frame.t === "subscribed") {
      sub.durable = frame.durable === true;
      sub.state = frame.state === true;
      // A durable reader that has a position keeps it: what is missing shows as a hole, not as nothing.
      if (sub.durable && sub.last) return;
    }
    sub.last = parsePosition(frame.pos);
    // Only a log can be read on from a position.
    sub.since = frame.t === "gap" || sub.durable ? frame.pos : undefined;
  }
}

/** The subscription as `open` and `subscribe` name it; from here on the session has been asked. */
export function request(sub: Subscription): SubscriptionRequest {
  sub.asked = true;
  return { ch: sub.ch, since: sub.since, presence: sub.presence };
}
