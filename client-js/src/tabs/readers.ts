/**
 * Which tab reads which channel of the one session. One subscription serves all tabs. A tab that comes
 * later is brought to where it stands by requests of the same session, so nothing is kept here for it.
 */
import { retryOf } from "../errors.ts";
import type {
  ErrorFrame,
  OkFrame,
  Refusal,
  Request,
  SessionDown,
  SubscriptionRequest,
} from "../protocol/frames.ts";
import { parsePosition } from "../protocol/position.ts";
import type { Delivered, Session } from "../session/session.ts";
import { moved, request, type Subscription, subscription } from "../session/subscriptions.ts";
import type { Settle } from "../session/uplink.ts";
import type { Item, Reading } from "./wire.ts";

/** Milliseconds before history that could not be had is asked for again. */
const AGAIN_MS = 2000;

/** A subscription that tabs share. */
export interface Shared extends Subscription {
  /** Where the channel stands, as the gateway said last. */
  top?: string | undefined;
  /** The gateway joined the session to it: every tab has it. */
  auto?: boolean;
}

/** One tab, from its `open` on. */
export interface Tab {
  readonly id: string;
  /** The channels that it reads, and whether it wants to know who is there. */
  readonly chs: Map<string, boolean>;
  away: boolean;
  visible: boolean;
  /** Number of the last frame that it sent. */
  seq: number;
  /** Number of the message up to which it has read, about. */
  seen: number;
}

interface Waiter {
  readonly tab: Tab;
  readonly re: number | undefined;
  readonly since: string | undefined;
  /** The tab has missed nothing. */
  readonly whole: boolean;
  /** The subscription began for it. */
  readonly first: boolean;
  /** Who is there comes with the answer. */
  readonly watches: boolean;
}

export interface Readers {
  readonly tabs: Map<string, Tab>;
  /** Hands on what the session delivered. */
  deliver(frame: Delivered): void;
  /** A tab subscribes. */
  join(tab: Tab, want: SubscriptionRequest, re?: number, whole?: boolean): void;
  /** A tab has enough of a channel; the last one ends the subscription. */
  release(tab: Tab, ch: string): void;
  /** A tab is gone. */
  leave(tab: Tab): void;
  /** Asks the session for what it was not asked for. */
  ask(): void;
  /** Ends what no tab reads. */
  sweep(): void;
}

/**
 * @param push sends a request in the session.
 * @param say tells the tabs.
 * @param later calls after so many milliseconds.
 * @param changed told that subscriptions came or went.
 */
export function createReaders(
  session: Session,
  push: (frame: Request, settle?: Settle) => void,
  say: (item: Item) => void,
  later: (call: () => void, ms: number) => void,
  changed: () => void,
): Readers {
  const subs = session.subs as Map<string, Shared>;
  const tabs = new Map<string, Tab>();
  const waiters = new Map<string, Waiter[]>();

  const isHere = (tab: Tab, ch: string): boolean => tabs.get(tab.id) === tab && tab.chs.has(ch);

  const drop = (ch: string): void => {
    subs.delete(ch);
    waiters.delete(ch);
    changed();
  };

  /** It was refused, or ended: to those who wait for an answer, or to `everyone`. */
  const refused = (ch: string, why: { code: string; t?: string }, everyone: boolean): void => {
    const asked = new Map(waiters.get(ch)?.map(({ tab, re }) => [tab.id, re]));
    waiters.delete(ch);
    const sub = subs.get(ch);
    // Who is there may not be seen; what is read goes on.
    const goesOn = why.t === "unwatched" || (!everyone && sub?.top !== undefined);
    for (const [to, { chs }] of tabs) {
      if (!chs.has(ch) || !(everyone || asked.has(to))) continue;
      if (why.t !== "unwatched") chs.delete(ch);
      say({ to, data: { t: "error", ...why, ch, re: asked.get(to) } as ErrorFrame });
    }
    if (sub && goesOn) sub.presence = false;
    else drop(ch);
  };

  const ask = (sub: Shared): void => {
    if (sub.asked || !session.ticket) return;
    push({ t: "subscribe", ...request(sub) }, (outcome) => {
      if ("code" in outcome) refused(sub.ch, outcome, false);
    });
  };

  const subscribed = (sub: Shared, re?: number, pos = sub.top): SessionDown =>
    ({ ...sub, t: "subscribed", re, pos, last: undefined }) as SessionDown;

  /** Pages from where the tab stands to where the channel does; then it is live. */
  const page = (sub: Shared, waiter: Waiter, since?: string, told = false): void => {
    const { ch, state } = sub;
    const { tab, re } = waiter;
    const give = (data: SessionDown, joins?: string): void =>
      say({ to: tab.id, data, ...(joins && { joins }) });
    const settle: Settle = (outcome) => {
      if (!isHere(tab, ch) || subs.get(ch) !== sub) return;
      const { code } = outcome as Refusal;
      if (code && retryOf(code) !== "no") {
        later(() => page(sub, waiter, since, told), AGAIN_MS);
      } else if (code && state) {
        // What may not be read may be subscribed to: each tab ignores what it has.
        push({ t: "unsubscribe", ch });
        const again: Shared = { ...subscription(ch, undefined, sub.presence), auto: !!sub.auto };
        subs.set(ch, again);
        waiters.set(ch, [{ ...waiter, first: true }]);
        give(subscribed(sub, re), ch);
        ask(again);
      } else {
        const { events = [], pos = sub.top, more, gap = code } = outcome as OkFrame & Refusal;
        if (gap) give({ t: "gap", ch, reason: gap, pos: pos as string });
        if (!told) give(subscribed(sub, re, gap || state ? pos : since));
        for (const event of Array.isArray(events) ? events : []) give(event);
        const isThere = gap || ((state || !more) && offset(pos) >= offset(sub.top));
        if (isThere) give({ t: "caught_up", ch }, ch);
        else page(sub, waiter, pos, true);
      }
    };
    push({ t: "history", ch, since: state ? undefined : since }, settle);
  };

  /** Who is there, for one that comes later: no change is older than this list. */
  const list = (ch: string, tab: Tab): void =>
    push({ t: "presence", chs: [ch] }, (outcome) => {
      const answer = (outcome as OkFrame).channels?.[ch];
      if (!answer || !isHere(tab, ch)) return;
      const t = answer.members ? "members" : "count";
      say({ to: tab.id, data: { t, ch, v: 0, ...answer } as SessionDown });
    });

  const enter = (sub: Shared, waiter: Waiter): void => {
    const { ch, top, durable, state } = sub;
    const { tab, re, since, whole, first, watches } = waiter;
    if (!isHere(tab, ch)) return;
    const isBehind = state ? !whole : durable && since && since !== top;
    if (!first && isBehind) page(sub, waiter, since);
    else say({ to: tab.id, data: subscribed(sub, re), joins: ch });
    if (tab.chs.get(ch) && !(first || whole || watches)) list(ch, tab);
  };

  const readers: Readers = {
    tabs,
    deliver(frame) {
      const { t } = frame;
      const ch = "ch" in frame ? frame.ch : undefined;
      if (!ch) return say({ data: frame });
      if ("code" in frame) return refused(ch, frame, true);
      // Each tab finds the hole by itself.
      if (t === "gap" && frame.reason === "hole") return;
      let sub = subs.get(ch);
      if (t === "subscribed") {
        const { re, pos } = frame;
        if (!sub && !re) {
          sub = { ...subscription(ch), asked: true, auto: true };
          subs.set(ch, sub);
          moved(sub, frame);
          for (const tab of tabs.values()) tab.chs.set(ch, false);
        }
        if (!sub) return;
        const isNew = sub.top === undefined;
        sub.top = pos;
        if (!re && (sub.auto || !isNew)) say({ data: frame, ...(sub.auto && { joins: ch }) });
        const waiting = waiters.get(ch) ?? [];
        waiters.delete(ch);
        for (const waiter of waiting) enter(sub, waiter);
        return changed();
      }
      if (sub && (t === "event" || t === "gap")) sub.top = frame.pos;
      say({ data: frame });
    },
    join(tab, { ch, since: from, presence = false }, re, whole = false) {
      let sub = subs.get(ch);
      // A session that names no position gets what its user's own channel retains (M49).
      const since = from ?? (sub && ch.startsWith("@user:") ? "0" : undefined);
      const first = !sub;
      const watches = !!sub && presence && !sub.presence;
      tab.chs.set(ch, presence);
      if (!sub) {
        sub = subscription(ch, since, presence);
        subs.set(ch, sub);
        say({ to: tab.id, joins: ch });
      }
      if (watches) {
        sub.presence = true;
        sub.asked = false;
      }
      const waiter = { tab, re, since, whole, first, watches };
      if (sub.asked && sub.top !== undefined) enter(sub, waiter);
      else waiters.set(ch, [...(waiters.get(ch) ?? []), waiter]);
      ask(sub);
      if (first || watches) changed();
    },
    release(tab, ch) {
      tab.chs.delete(ch);
      const sub = subs.get(ch);
      if (!sub || sub.auto || [...tabs.values()].some(({ chs }) => chs.has(ch))) return;
      if (sub.asked) push({ t: "unsubscribe", ch });
      drop(ch);
    },
    leave(tab) {
      if (tabs.get(tab.id) !== tab) return;
      tabs.delete(tab.id);
      for (const ch of [...tab.chs.keys()]) readers.release(tab, ch);
    },
    ask() {
      for (const sub of subs.values()) ask(sub);
    },
    sweep() {
      const nobody: Tab = { id: "", chs: new Map(), away: true, visible: false, seq: 0, seen: 0 };
      for (const ch of [...subs.keys()]) readers.release(nobody, ch);
    },
  };
  return readers;
}

const offset = (pos: string | undefined): number => parsePosition(pos)?.offset ?? 0;

/** The channels of the session as the next holder needs them. */
export function toReadings(subs: Map<string, Shared>): Reading[] {
  return [...subs.values()].map((sub) => {
    const { ch, presence, since, durable, state, last, top, auto } = sub;
    const keys = [...last].map(([key, at]): Reading["keys"][number] => [
      key,
      at && [at.epoch, at.offset],
    ]);
    return { ch, presence, since, durable, state, keys, top, auto: !!auto };
  });
}

/** The same, as the holder has them. */
export function fromReadings(readings: readonly Reading[]): Map<string, Shared> {
  return new Map(
    readings.map(({ keys, ...reading }) => {
      const last = new Map(keys.map(([key, at]) => [key, at && { epoch: at[0], offset: at[1] }]));
      // One that was not answered yet is asked for again.
      return [reading.ch, { ...reading, last, asked: reading.top !== undefined }];
    }),
  );
}
