/**
 * Where the reader stands in each channel. Pure. The server already delivers each event once and in
 * order; this is the defence that makes D1 and D2 hold whatever a peer sends.
 */

import { MORE, NONE } from "../parts.ts";
import type { EventFrame, SessionDown, SubscriptionRequest } from "../protocol/frames.ts";
import { isAfter, type Position, parsePosition } from "../protocol/position.ts";

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
  /** Position of the last event, of each key of a state channel; else under the empty key. */
  readonly last: Map<string, Position | undefined>;
}

/** The channels of a session, by name. */
export type Subscriptions = Map<string, Subscription>;

/** What to do with an event: hand it over, hand over a gap first, or neither, as with a repeat. */
export type Verdict = "next" | "hole" | undefined;

/** A channel that nobody has been asked for yet. */
export function subscription(ch: string, since?: string, presence = false): Subscription {
  return {
    ch,
    ...(MORE ? { presence } : NONE),
    since,
    durable: false,
    state: false,
    asked: false,
    last: new Map([["", parsePosition(since)]]),
  };
}

/** Judges an event, and moves the reader there unless it is a repeat. */
export function accept(sub: Subscription | undefined, frame: EventFrame): Verdict {
  const at = parsePosition(frame.pos);
  if (!sub || !at) return undefined;
  const { last, state, durable } = sub;
  const key = (state && frame.key) || "";
  const before = last.get(key);
  if (!isAfter(at, before)) return undefined;
  if (MORE && last.size > KEYS_MAX) last.delete(last.keys().next().value as string);
  last.set(key, at);
  if (durable) sub.since = frame.pos;
  // Offsets count on over a change of epoch, so the next is one higher whatever the epoch.
  return durable && !state && before && at.offset !== before.offset + 1 ? "hole" : "next";
}

/** A subscription began, or lost events: the reader stands where the server says. */
export function moved(
  sub: Subscription | undefined,
  frame: Extract<SessionDown, { t: "subscribed" | "gap" }>,
): void {
  if (!sub) return;
  if (frame.t === "subscribed") {
    sub.durable = !!frame.durable;
    sub.state = !!frame.state;
    // A durable reader that has a position keeps it: what is missing shows as a hole, not as nothing.
    if (sub.durable && sub.last.get("")) return;
  }
  // The latest of each key comes again.
  if (!sub.state) sub.last.set("", parsePosition(frame.pos));
  // Only a log can be read on from a position.
  sub.since = frame.t === "gap" || sub.durable ? frame.pos : undefined;
}

/** The subscription as `open` and `subscribe` name it; from here on the session has been asked. */
export function request(sub: Subscription): SubscriptionRequest {
  sub.asked = true;
  const { ch, since, presence } = sub;
  return { ch, since, ...(MORE && { presence }) };
}
