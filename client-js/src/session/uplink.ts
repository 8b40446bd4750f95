/**
 * What the session sends: numbers, order, acknowledgement, settlement. Pure: the caller brings `now`.
 * A frame gets its number when it is first taken, so that nothing is numbered that may still be dropped.
 */
import { refusal } from "../errors.ts";
import type { ErrorFrame, OkFrame, Refusal, Request, SessionUp } from "../protocol/frames.ts";

/** How a request ended: with the server's answer, or a refusal, its own or the client's. */
export type Outcome = OkFrame | ErrorFrame | (Refusal & { t?: never });

/** Told the outcome of one request, once. */
export type Settle = (outcome: Outcome) => void;

interface Entry {
  readonly request: Request;
  readonly settle: Settle;
  /** Bytes of the frame's JSON. */
  readonly size: number;
  /** Rises with each request: the order in which the application made them. */
  readonly order: number;
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

const channelOf = (entry: Entry): string | undefined =>
  entry.request.t === "publish" ? entry.request.ch : undefined;

export class Uplink {
  /** Not yet numbered, oldest first. */
  private queue: Entry[] = [];
  /** Numbered and not yet settled, by number. */
  private readonly waiting = new Map<number, Entry>();
  /** Numbered and not yet acknowledged, oldest first. */
  private window: Entry[] = [];
  /** Publishes whose outcome is unknown: each holds later ones of its channel (M29). */
  private readonly unknown = new Set<Entry>();
  private seq = 0;
  private order = 0;
  /** False after a reload, until the server says up to where it applied. */
  private synced = true;
  private readonly bound: number;

  /** @param bound requests that wait at most. */
  constructor(bound: number) {
    this.bound = bound;
  }

  /** Adds a request. At the bound, or above `frameBytes`, it is refused at once. */
  push(request: Request, settle: Settle, frameBytes: number, own = false): void {
    const size = new TextEncoder().encode(JSON.stringify(request)).length + SEQ_BYTES;
    if (size > frameBytes) {
      settle(refusal("too_large", `a frame has at most ${frameBytes} bytes; send less`));
    } else if (!own && this.queue.length + this.waiting.size >= this.bound) {
      settle(refusal("queue_full", `${this.bound} requests wait; send slower`));
    } else {
      const order = this.order++;
      this.queue.push({ request, settle, size, order, seq: 0, unknown: 0, notBefore: 0 });
    }
  }

  /**
   * The frames to send: the new ones, or with `again` all that are not acknowledged.
   * At most `framesMax` and about `bytesMax`, but at least one.
   */
  take(now: number, again: boolean, framesMax: number, bytesMax: number): SessionUp[] {
    if (!this.synced) return [];
    const taken: Entry[] = [];
    let bytes = 0;
    const fits = (entry: Entry): boolean => {
      if (taken.length >= framesMax || (taken.length > 0 && bytes + entry.size > bytesMax))
        return false;
      bytes += entry.size;
      taken.push(entry);
      return true;
    };
    if (again && !this.window.every(fits)) return taken.map(numbered);
    const left: Entry[] = [];
    let room = true;
    for (const entry of this.queue) {
      const ready = room && !this.isHeld(entry, now);
      if (ready) room = fits(entry);
      if (ready && room) this.number(entry);
      else left.push(entry);
    }
    this.queue = left;
    return taken.map(numbered);
  }

  private number(entry: Entry): void {
    entry.seq = ++this.seq;
    this.window.push(entry);
    this.waiting.set(entry.seq, entry);
  }

  private isHeld(entry: Entry, now: number): boolean {
    if (entry.notBefore > now) return true;
    const channel = channelOf(entry);
    if (channel === undefined) return false;
    for (const other of this.unknown) {
      if (other.order < entry.order && channelOf(other) === channel) return true;
    }
    return false;
  }

  /** Whether {@link take} with `again` has something to give. */
  hasMore(now: number): boolean {
    return (
      this.synced &&
      (this.window.length > 0 || this.queue.some((entry) => !this.isHeld(entry, now)))
    );
  }

  /** Number of the oldest frame that is not acknowledged, or 0. */
  get firstSeq(): number {
    return this.window[0]?.seq ?? 0;
  }

  /** When the next publish that is held by time may go; infinite where none is. */
  wakeAt(now: number): number {
    return this.queue.reduce(
      (first, { notBefore }) => (notBefore > now ? Math.min(first, notBefore) : first),
      Number.POSITIVE_INFINITY,
    );
  }

  /** The server has applied everything up to `up`. */
  applied(up: number): void {
    if (!this.synced) {
      this.synced = true;
      this.seq = up;
    }
    this.window = this.window.filter((entry) => entry.seq > up);
  }

  /** A reply came: it settles its request, and acknowledges up to it. */
  settle(frame: OkFrame | ErrorFrame, now: number): void {
    const entry = frame.re === undefined ? undefined : this.waiting.get(frame.re);
    if (!entry) return;
    this.waiting.delete(entry.seq);
    this.applied(entry.seq);
    if (frame.t === "error" && frame.code === "unknown_outcome" && ++entry.unknown <= UNKNOWN_MAX) {
      entry.notBefore = now + (frame.retry_ms ?? entry.unknown * UNKNOWN_WAIT_MS);
      this.unknown.add(entry);
      this.requeue([entry]);
      return;
    }
    this.unknown.delete(entry);
    entry.settle(frame);
  }

  /** A subscription's answer has a kind of its own; it settles the request like any other. */
  subscribed(re: number | undefined): void {
    if (re !== undefined && this.waiting.delete(re)) this.applied(re);
  }

  private requeue(entries: Entry[]): void {
    for (const entry of entries) entry.seq = 0;
    this.queue = [...entries, ...this.queue].sort((a, b) => a.order - b.order);
  }

  /** The session is one that was kept over a reload: its numbers go on where the server says. */
  resume(): void {
    this.synced = false;
  }

  /**
   * The session is over and another begins. What may be repeated safely is sent again: publishes to
   * durable channels, which are deduplicated by id, and reads. Another publish that was sent ends
   * unknown. What speaks of the session itself is dropped: the new one begins with it.
   */
  restart(isDurable: (channel: string) => boolean): void {
    const sent = [...this.waiting.values()];
    this.waiting.clear();
    this.window = [];
    this.seq = 0;
    this.synced = true;
    const kept: Entry[] = [];
    for (const entry of [...sent, ...this.queue]) {
      const { t } = entry.request;
      const channel = channelOf(entry);
      if (t === "subscribe" || t === "unsubscribe" || t === "auth" || t === "away") {
        entry.settle({ t: "ok", re: 0 });
      } else if (channel === undefined || entry.seq === 0 || isDurable(channel)) {
        kept.push(entry);
      } else {
        this.unknown.delete(entry);
        entry.settle(
          refusal("unknown_outcome", "the session was lost; the event may or may not be there"),
        );
      }
    }
    this.queue = [];
    this.requeue(kept);
  }

  /** Ends every request with this refusal. */
  end(why: Refusal): void {
    const all = [...this.waiting.values(), ...this.queue];
    this.waiting.clear();
    this.window = [];
    this.queue = [];
    this.unknown.clear();
    for (const entry of all) entry.settle(why);
  }

  /** Drops a request that was not sent yet, as if it had not been made; false where it was. */
  withdraw(settle: Settle): boolean {
    const at = this.queue.findIndex((entry) => entry.settle === settle && entry.unknown === 0);
    if (at >= 0) this.queue.splice(at, 1);
    return at >= 0;
  }
}

function numbered(entry: Entry): SessionUp {
  return { ...entry.request, seq: entry.seq };
}
