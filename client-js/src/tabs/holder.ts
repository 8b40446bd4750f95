/**
 * The tab that holds the session for all: it carries the session, hands on what comes, sends what tabs ask
 * for, and says with each word where the session stands, so that another tab can go on with it.
 */
import type { AuthReason, ConnectOptions } from "../api.ts";
import { usable } from "../client.ts";
import type { Env } from "../env.ts";
import { CLOSED } from "../errors.ts";
import type { ErrorFrame, OkFrame, Refusal, Request, SessionUp } from "../protocol/frames.ts";
import { createSession } from "../session/session.ts";
import type { Settle } from "../session/uplink.ts";
import { createCarrier } from "../strategy/carrier.ts";
import { createKeeper } from "../strategy/kept.ts";
import { createTokens } from "../strategy/tokens.ts";
import { createReaders, fromReadings, type Shared, type Tab, toReadings } from "./readers.ts";
import { createTimers } from "./timers.ts";
import type { At, Down, Item, Standing, Status, Up } from "./wire.ts";

/** Tabs that share at most; another one connects by itself. */
export const TABS_MAX = 64;

/** Messages that wait for a tab at most. One that reads none has to open again when it does. */
const FLIGHT_MAX = 2048;

/** Milliseconds that tabs have to open again at a new holder before what they say of the user is told. */
const FRESH_MS = 1000;

/** Milliseconds after which subscriptions of tabs that are gone end. */
const SWEEP_MS = 10_000;

/** What a holder needs of the page that it is in. */
export interface Seat {
  readonly env: Env;
  readonly base: string;
  readonly options: ConnectOptions;
  /** Which holder this is; higher than every one before. */
  readonly term: number;
  /** The holder before as this tab knows it. */
  readonly before: At;
  /** Says it to all tabs, this one too. */
  post(down: Down): void;
  /** Calls when that tab is gone, unless the holder ended before. */
  whenGone(id: string, ended: AbortSignal, call: () => void): void;
  /** Answers a token, from this tab or another; undefined where nobody needs one. */
  readonly auth: ((reason: AuthReason) => Promise<string | undefined>) | undefined;
  /** A tab does not read what is said. */
  crowded(): void;
  /** Somebody else has the session. */
  over(): void;
}

export interface Holder {
  readonly term: number;
  /** Goes on where the holder before stood, if one did. */
  start(before: Standing | undefined): void;
  receive(up: Up): void;
  /** Asks all tabs for a token. */
  wants(reason: AuthReason): void;
  /** The page slept, or its network changed. */
  verify(): void;
  /** How many tabs there are, this one too. */
  readonly size: number;
  /** Ends without a word to the gateway: another tab goes on. With `keep`, this one may after a reload. */
  abandon(keep?: boolean): void;
  /** Ends the session. */
  close(): Promise<void>;
}

export function createHolder(seat: Seat): Holder {
  const { base, options, term } = seat;
  const timers = createTimers(seat.env);
  const { env } = timers;
  const { queue = 1000, resume = true, transports } = options;
  const ended = new AbortController();
  let n = 0;
  let next: Down | undefined;
  /** Number of the last message that had something of a channel. */
  let saidAt = -1;
  /** The claim was heard: before that it may have to be made again, and nothing else is said. */
  let hasStarted = false;
  let running = false;
  let wasEstablished = false;
  /** What the gateway was told; not known where the session is that of the page before. */
  let isAway: boolean | undefined;
  let tellsAway = false;
  let until = 0;
  /** After a change of holder: the tabs have yet to say how they are. */
  let isFresh = false;
  let readingsChanged = true;
  let status: Status = { state: "connecting", transport: null };

  // What all tabs are told: one message for what happens in one task.

  const flush = (): void => {
    if (!next || !hasStarted || ended.signal.aborted) return;
    const { ticket, link, count, hello } = session;
    if (ticket) {
      next.standing = { ticket, link, count, until, away: isAway };
      if (readingsChanged) Object.assign(next.standing, { hello, readings: toReadings(subs) });
      readingsChanged = false;
    }
    seat.post(next);
    next = undefined;
    const stuck = [...tabs.values()].filter(({ seen }) => n - seen > FLIGHT_MAX);
    for (const tab of stuck) readers.leave(tab);
    if (stuck.length) seat.crowded();
  };

  const plan = (): Down => {
    if (!next) {
      next = { term, n: n++, items: [] };
      queueMicrotask(flush);
    }
    return next;
  };

  const say = (item: Item): void => {
    const { items, n: at } = plan();
    items.push(item);
    if (item.data && !item.to) saidAt = at;
  };

  // The session.

  const seen = (): boolean => [...tabs.values()].some(({ visible }) => visible);
  const session = createSession(queue * TABS_MAX, seen, env.now, (frame) => readers.deliver(frame));
  const subs = session.subs as Map<string, Shared>;

  const push = (frame: Request, settle: Settle = () => undefined): void => {
    session.uplink.push(
      frame,
      (outcome) => {
        plan();
        settle(outcome);
      },
      session.hello.limits.frame_bytes,
      true,
    );
    carrier.kick();
  };

  const expires = (inMs: number | undefined): void => {
    until = inMs ? env.now() + inMs : 0;
  };

  const readers = createReaders(session, push, say, env.setTimeout, () => {
    readingsChanged = true;
    plan();
  });
  const { tabs } = readers;

  const tellAway = (): void => {
    const away = [...tabs.values()].every((tab) => tab.away);
    if (away === isAway || tellsAway || isFresh || !session.ticket || !tabs.size) return;
    isAway = away;
    tellsAway = true;
    push({ t: "away", away }, () => {
      tellsAway = false;
      tellAway();
    });
  };

  const key = resume === true ? `throughline:${base}` : resume;
  const keeper = createKeeper(env, key ? `${key}#tabs` : "", session, new Map());

  let ticketSuffices = false;
  const { auth } = seat;
  const bring = async (reason: AuthReason): Promise<string | undefined> => {
    const skips = ticketSuffices;
    ticketSuffices = false;
    return skips ? undefined : auth?.(reason);
  };

  const tokens = createTokens(env, auth && bring, (frame, settle) =>
    push(frame, (outcome) => {
      expires((outcome as OkFrame).expires_ms);
      settle(outcome);
    }),
  );

  const carrier = createCarrier(env, base, session, tokens, usable(env, transports), options, {
    seen,
    changed(state, transport, reason) {
      if (ended.signal.aborted) return;
      status = { state, transport, reason, me: session.hello.me };
      plan().status = status;
    },
    established(resumed) {
      if (!resumed) {
        isAway = false;
        expires(session.hello.expires_ms);
        tokens.expires(session.hello.expires_ms);
      }
      readers.ask();
      tellAway();
      readingsChanged = true;
      const down = plan();
      if (wasEstablished || resumed) down.resumed = { recovered: resumed };
      down.status = { ...status, me: session.hello.me };
      wasEstablished = true;
    },
    trouble({ code, message, retry_ms }: Refusal) {
      // Another tab took it while this one stood still.
      if (code === "superseded") return seat.over();
      say({ data: { t: "error", code, message, retry_ms } as ErrorFrame });
    },
    touched() {
      if (ended.signal.aborted) return;
      plan();
      keeper.touch();
    },
  });

  // The tabs.

  const run = (): void => {
    if (running) return;
    running = true;
    void carrier.run();
  };

  const gone = (tab: Tab): void => {
    readers.leave(tab);
    watch();
  };

  /** What the tabs are to the gateway: looked at, away. */
  let wasSeen = true;
  const watch = (): void => {
    tellAway();
    if (wasSeen !== seen()) carrier.watched();
    wasSeen = seen();
  };

  const opens = ({ from, open, next: missedNothing = -1 }: Up): void => {
    const before = tabs.get(from);
    if (!open || (!before && tabs.size >= TABS_MAX)) return say({ to: from, says: "full" });
    const tab: Tab = {
      id: from,
      chs: new Map(),
      away: false,
      visible: !!open.visible,
      seq: 0,
      seen: n,
    };
    tabs.set(from, tab);
    if (!before) seat.whenGone(from, ended.signal, () => gone(tabs.get(from) ?? tab));
    say({ to: from, says: "hello" });
    const isWhole = missedNothing > saidAt;
    for (const want of open.subs ?? []) readers.join(tab, want, undefined, isWhole);
    for (const { ch, auto } of subs.values())
      if (auto && !tab.chs.has(ch)) readers.join(tab, { ch });
    for (const ch of before?.chs.keys() ?? []) if (!tab.chs.has(ch)) readers.release(tab, ch);
    readingsChanged ||= !isWhole;
    plan().status = status;
    watch();
    run();
  };

  const takes = (tab: Tab, { seq, ...frame }: SessionUp): void => {
    const answer: Settle = (outcome) => {
      // The tab may have opened again: then it sends again what was not answered.
      if (tabs.get(tab.id) !== tab) return;
      say({ to: tab.id, data: { t: "error", ...outcome, re: seq, final: true } as ErrorFrame });
    };
    if (seq !== tab.seq + 1) return say({ to: tab.id, says: "gone" });
    tab.seq = seq;
    switch (frame.t) {
      case "subscribe":
        return readers.join(tab, frame, seq);
      case "unsubscribe":
        readers.release(tab, frame.ch);
        return answer({ t: "ok", re: seq });
      case "away":
        tab.away = frame.away;
        watch();
        return answer({ t: "ok", re: seq });
      default:
        if (carrier.over) answer({ ...CLOSED, code: carrier.state });
        else push(frame, answer);
    }
  };

  const holder: Holder = {
    term,
    get size() {
      return tabs.size;
    },
    start(before) {
      hasStarted = true;
      if (before?.ticket && before.hello) {
        const { hello, link, readings = [], count, ticket } = before;
        for (const [ch, sub] of fromReadings(readings)) subs.set(ch, sub);
        session.restore({ ticket, link, count, hello });
        status.state = "reconnecting";
        wasEstablished = ticketSuffices = isFresh = true;
        isAway = before.away;
        env.setTimeout(() => {
          isFresh = false;
          tellAway();
        }, FRESH_MS);
        if (before.until) {
          until = before.until;
          tokens.expires(until - env.now());
        }
      } else keeper.restore();
      status.me = session.hello.me;
      env.setTimeout(readers.sweep, SWEEP_MS);
      if (session.ticket) run();
      flush();
    },
    receive(up) {
      const { from, open, data, visible, seen, asks, transports, cut, leaves } = up;
      if (ended.signal.aborted) return;
      timers.run();
      if (up.term !== term) {
        // It hears which holder there is.
        plan();
        return;
      }
      const tab = tabs.get(from);
      if (open) return opens(up);
      if (asks !== undefined) plan();
      if (!tab || (asks ?? 0) > tab.seq) return say({ to: from, says: "gone" });
      tab.seen = seen ?? tab.seen;
      if (data) takes(tab, data);
      if (visible !== undefined) {
        tab.visible = visible;
        watch();
      }
      if (transports) carrier.use(usable(env, transports));
      if (cut) carrier.cut();
      if (leaves) gone(tab);
    },
    wants(reason) {
      plan().wants = reason;
    },
    verify: () => carrier.verify(true),
    abandon(keep) {
      if (ended.signal.aborted) return;
      if (keep) {
        keeper.write(true);
        carrier.leave();
      }
      // The last word, for tabs that did not hear where the session stands.
      if (session.ticket) {
        readingsChanged = true;
        plan();
      }
      flush();
      ended.abort();
      if (!keep) keeper.forget();
      // Without a ticket nothing is said to the gateway.
      session.ticket = undefined;
      carrier.cut();
      void carrier.close();
    },
    async close() {
      flush();
      ended.abort();
      keeper.forget();
      await carrier.close();
      session.uplink.end(CLOSED);
    },
  };
  seat.post({ term, n: n++, items: [], claim: seat.before });
  return holder;
}
