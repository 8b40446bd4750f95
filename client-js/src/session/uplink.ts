/**
 * What the session sends: numbers, order, acknowledgement, settlement. Pure: the caller brings the clock.
 * A frame gets its number when it is first taken, so that nothing is numbered that may still be dropped.
 */
import { refusal } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import { utf8 } from "../protocol/body.ts";
import type { ErrorFrame, OkFrame, Refusal, Request, SessionUp } from "../protocol/frames.ts";

/** How a request ended: with the server's answer, or a refusal, its own or the client's. */
export type Outcome =
  | OkFrame
  | { t: "subscribed"; re?: number }
  | ErrorFrame
  | (Refusal & { t?: never });

/** Told the outcome of one request, once. */
export type Settle = (outcome: Outcome) => void;

interface Entry {
  frame: Request;
  settle: Settle;
  /** Bytes of the frame's JSON. */
  readonly weight: number;
  /** The channel of a publish: one of unknown outcome holds the later ones of it (M29). */
  readonly topic: string | undefined;
  /** 0 until the frame is first taken. */
  seq: number;
  /** How often the outcome was unknown. */
  unknown: number;
  /** Not to be taken before this time. */
  notBefore: number;
}

/** Retries of one publish whose outcome is unknown, at most; then the application is told. */
const UNKNOWN_MAX = 5;
/** Milliseconds before such a retry where the server gives no hint, times the retries so far. */
const UNKNOWN_WAIT_MS = 500;
/** Room for the members that the codec adds: `seq` and its number. */
const SEQ_BYTES = 24;

export interface Uplink {
  /** Adds a request. At the bound, unless it is the client's `own`, or above `frameBytes`, it is refused at once. */
  push(frame: Request, settle: Settle, frameBytes: number, own?: boolean): void;
  /**
   * The frames to send: the new ones, or with `again` all that are not acknowledged.
   * At most `framesMax` and about `bytesMax`, but at least one.
   */
  take(again: boolean, framesMax: number, bytesMax: number): SessionUp[];
  /** Whether {@link Uplink.take} with `again` has something to give. */
  hasMore(): boolean;
  /** Number of the oldest frame that is not acknowledged, if one is. */
  firstSeq(): number | undefined;
  /** Whether the gateway has yet to answer that this channel is given up: what comes is of what it was. */
  leaves(channel: string): boolean;
  /** When the next publish that is held by time may go; infinite where none is. */
  wakeAt(): number;
  /** The server has applied everything up to `up`. */
  applied(up: number): void;
  /** A reply came, or what may be one: it settles its request, and acknowledges up to it. */
  settle(frame: Outcome): void;
  /** The session is one that was kept over a reload: its numbers go on where the server says. */
  resync(): void;
  /**
   * The session is over and another begins. What may be repeated safely is sent again: publishes to
   * durable channels, which are deduplicated by id, and reads. Another publish that was sent ends
   * unknown. What speaks of the session itself is dropped: the new one begins with it.
   */
  restart(isDurable: (channel: string) => boolean): void;
  /** Ends every request with this refusal. */
  end(why: Refusal): void;
  /** The network does not let this frame through: its request ends so, and its number says nothing. */
  void(seq: number, why: Refusal): void;
  /** Drops a request that was not sent yet, as if it had not been made. */
  withdraw(settle: Settle): void;
}

/**
 * @param bound requests that wait at most.
 * @param now the time in milliseconds.
 */
export function createUplink(bound: number, now: () => number): Uplink {
  /** What is not settled, in the order in which the application asked for it. */
  const entries: Entry[] = [];
  /** The last number given, and the last that the server applied. */
  let seq = 0;
  let up = 0;
  /** False after a reload, until the server says up to where it applied. */
  let synced = true;

  /** Numbered and not acknowledged, by number. */
  const inFlight = (): Entry[] =>
    entries.filter((entry) => entry.seq > up).sort((a, b) => a.seq - b.seq);

  /** Not numbered, and not held. */
  const ready = (): Entry[] => {
    const held = new Set<string | undefined>();
    return entries.filter(({ topic, seq, unknown, notBefore }) => {
      const isHeld = topic && held.has(topic);
      if (unknown) held.add(topic);
      return (!MORE || synced) && !seq && notBefore <= now() && !isHeld;
    });
  };

  const drop = (entry: Entry): void => {
    entries.splice(entries.indexOf(entry), 1);
  };

  const applied = (to = 0): void => {
    if (MORE) {
      if (!synced) seq = to;
      synced = true;
    }
    up = Math.max(up, Math.min(to, seq));
  };

  return {
    push(frame, settle, frameBytes, own) {
      const weight = utf8(JSON.stringify(frame)).length + SEQ_BYTES;
      const topic = frame.t === "publish" ? frame.ch : undefined;
      if (weight > frameBytes) settle(refusal("too_large", "send less"));
      else if (!own && entries.length >= bound) settle(refusal("queue_full", "send less"));
      else entries.push({ frame, settle, weight, topic, seq: 0, unknown: 0, notBefore: 0 });
    },
    take(again, framesMax, bytesMax) {
      const taken: SessionUp[] = [];
      let bytes = 0;
      for (const entry of [...(again ? inFlight() : []), ...ready()]) {
        bytes += entry.weight;
        if (taken.length >= framesMax || (taken.length && bytes > bytesMax)) break;
        entry.seq ||= ++seq;
        taken.push({ ...entry.frame, seq: entry.seq });
      }
      return taken;
    },
    hasMore: () => inFlight().length + ready().length > 0,
    leaves: (ch) => entries.some(({ frame }) => frame.t === "unsubscribe" && frame.ch === ch),
    firstSeq: MORE ? () => inFlight()[0]?.seq : NONE,
    wakeAt: () =>
      Math.min(...entries.map(({ notBefore }) => (notBefore > now() ? notBefore : Infinity))),
    applied,
    settle(frame) {
      // Only an error has a code.
      const { re, code, retry_ms, final } = frame as ErrorFrame;
      const entry = re && entries.find(({ seq }) => seq === re);
      if (!entry) return;
      applied(entry.seq);
      if (code === "unknown_outcome" && !(MORE && final) && ++entry.unknown <= UNKNOWN_MAX) {
        entry.notBefore = now() + (retry_ms ?? entry.unknown * UNKNOWN_WAIT_MS);
        entry.seq = 0;
      } else {
        drop(entry);
        entry.settle(frame);
      }
    },
    resync: MORE
      ? () => {
          synced = false;
        }
      : NONE,
    restart(isDurable) {
      seq = up = 0;
      if (MORE) synced = true;
      for (const entry of entries.splice(0)) {
        const { frame, topic, settle } = entry;
        if (/^a|subs/.test(frame.t)) settle({ t: "ok", re: 0 });
        else if (topic && entry.seq && !isDurable(topic))
          settle(refusal("unknown_outcome", "it may be stored"));
        else {
          entry.seq = 0;
          entries.push(entry);
        }
      }
    },
    end(why) {
      for (const { settle } of entries.splice(0)) settle(why);
    },
    void: MORE
      ? (seq, why) => {
          const entry = entries.find((other) => other.seq === seq);
          if (!entry) return;
          const { settle } = entry;
          // It asks for nothing, and is answered.
          entry.frame = { t: "presence", users: [] };
          entry.settle = () => undefined;
          settle(why);
        }
      : NONE,
    withdraw: MORE
      ? (settle) => {
          const entry = entries.find(
            (other) => other.settle === settle && !other.seq && !other.unknown,
          );
          if (entry) drop(entry);
        }
      : NONE,
  };
}
