/**
 * What carries the session: opens it by an exchange, polls, proves better transports behind that one at
 * a time, moves to what is proven, and falls back to polls when a link dies. One loop
 * ({@link Carrier.run}) decides; everything else tells it by ending what it waits for.
 */
import type { ConnectOptions, State, Transport } from "../api.ts";
import { backoff, HEALTHY_MS, RETRY_MS_MAX } from "../backoff.ts";
import { isNetwork, refusal, retryOf, UNREACHABLE } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import type { FrameUp, OpenFrame, Refusal } from "../protocol/frames.ts";
import { type Session, SUPERSEDED } from "../session/session.ts";
import type { Timed } from "../timers.ts";
import { createClimb } from "./climb.ts";
import { createRecorder, type Recorder } from "./evidence.ts";
import { createExchanges } from "./exchanges.ts";
import type { Hooks, Host } from "./host.ts";
import { type Link, openLink, VERDICT_MS } from "./link.ts";
import { createReach } from "./reach.ts";
import type { Tokens } from "./tokens.ts";
import { createUpstream, GAP_MS } from "./upstream.ts";
import { createVerdicts } from "./verdict.ts";

/** A poll is dead this many milliseconds after it should have been answered. */
const POLL_GRACE_MS = 2500;
/** Milliseconds that a poll is held at least, after networks that cut longer ones. */
const HOLD_MIN_MS = 3000;
/** The same at most of one that brings something up: it is answered at once, most likely, and what follows waits. */
const HOLD_SENDS_MS = 1000;
/** Of the hold that was cut, the part that the next poll is held: 20 s, 12 s, 7.2 s … */
const HOLD_PART = 0.6;
/** Milliseconds between two small requests through a network that answers in the gateway's place, at least; at most twice that. */
const PORTAL_MS = 5000;
/** What the client recovers from by itself: a reason of the state, no error. */
const QUIET: RegExp = MORE
  ? /^(unreach|interc|cred|session_k|moved)/
  : /^(unreach|session_k|moved)/;

export interface Carrier {
  readonly state: State;
  transport: Transport | null;
  readonly recorder: Recorder;
  /** Whether it is closed, or failed. */
  readonly over: boolean;
  /** Carries the session until it is closed or fails. */
  run(): Promise<void>;
  /** Something waits to be sent. */
  kick(): void;
  /**
   * Asks at once whether the session is still carried: the page slept; with `climbs` it came back, and with
   * `forgets` the network is another.
   */
  verify(climbs: boolean, forgets?: boolean): void;
  /** The page became visible or hidden: the server pings at another interval. */
  watched(): void;
  /** The page goes away; it may come back. */
  leave(): void;
  /** Allows these transports only, and moves at once. */
  use(transports: readonly Transport[]): void;
  /** Drops what carries the session, as if the network had. */
  cut(): void;
  /** Ends the session and everything that carries it. */
  close(): Promise<void>;
}

export function createCarrier(
  env: Timed,
  base: string,
  session: Session,
  tokens: Tokens,
  allowed: readonly Transport[],
  options: ConnectOptions,
  hooks: Hooks,
): Carrier {
  const { info, maxRetries = Infinity } = options;
  const { base: baseMs = 250, cap = 20_000 } = options.backoff ?? {};
  /** Why the loop has to begin again, where there is a reason. */
  let restart: Refusal | undefined;
  /** Those in a row after which the gateway did not say when to come back. */
  let tries = 0;
  /** When the session was last established, and when the live link became it. */
  let establishedAt = 0;
  let liveAt = 0;
  const verdicts = MORE ? createVerdicts(env, base) : NONE;
  const recorder = MORE ? createRecorder(() => env.now()) : NONE;
  let holdMs = MORE ? (verdicts.known().holdMs ?? Infinity) : Infinity;
  /** The reason that the application was last told. */
  let said: string | undefined;
  /** The next poll is to be answered at once. */
  let quick = false;
  let closing: Promise<void> | undefined;

  const woken = (): Promise<void> =>
    new Promise((resolve) => {
      host.wake = resolve;
    });

  const change = (state: State, transport: Transport | null, reason?: string): void => {
    const same = host.state === state && host.transport === transport;
    if (host.over || (same && (!reason || reason === said))) return;
    said = reason;
    host.state = state;
    host.transport = transport;
    hooks.changed(state, transport, reason);
  };

  const closeLive = (): void => {
    host.live?.close();
    host.live = undefined;
  };

  const closeAll = (): void => {
    closeLive();
    host.probing?.close();
    host.wake();
  };

  const end = (state: State, reason?: string): void => {
    change(state, null, reason);
    host.over = true;
    if (MORE) tokens.stop();
    closeAll();
  };

  const shut = async (): Promise<void> => {
    if (host.over) return;
    const { live } = host;
    const duplex = MORE ? live?.duplex : live;
    if (duplex) live?.send({ l: "close" });
    end("closed");
    if (!duplex && session.ticket) {
      const frames: FrameUp[] = [session.attach(false), { l: "close" }];
      await Promise.race([exchanges.run(frames, VERDICT_MS), host.pause(VERDICT_MS)]);
    }
    env.stop();
  };

  const opening = (): OpenFrame => {
    session.reset();
    return session.open({ token: tokens.fresh, info });
  };

  const prove = async (
    transport: Link["transport"],
    first?: OpenFrame,
  ): Promise<Refusal | undefined> => {
    while (host.probing) await host.probing.proven;
    if (host.over) return UNREACHABLE;
    const link = openLink(host, transport, first);
    host.probing = link;
    const why = await link.proven;
    host.probing = undefined;
    if (!MORE) return why;
    if (why && link.stalled && !link.duplex && !verdicts.known().fills) {
      // What came may be held until more follows: with fillers it would.
      verdicts.learn({ fills: true });
      const again = await prove(transport);
      if (again) verdicts.learn({ fills: false });
      return again;
    }
    if (!why) verdicts.learn({ best: transport, rttMs: recorder.rttMs });
    else if (isNetwork(why) && recorder.last("poll")?.outcome === "ok") verdicts.blame(transport);
    return why;
  };

  const establish = async (): Promise<Refusal | undefined> => {
    const resumed = !!session.ticket;
    // Why the one before ended has been seen to: it must not end this one.
    restart = undefined;
    const failed = (await tokens.prepare(resumed)) ?? (await reach(!tries));
    const why = restart ?? failed;
    if (why || host.over) return why;
    tokens.shown();
    establishedAt = env.now();
    if (!host.live && host.may("poll")) change("connected", "poll");
    hooks.established(resumed);
    return undefined;
  };

  const recover = async (why: Refusal): Promise<void> => {
    const { code } = why;
    const retry = why === SUPERSEDED ? "open" : retryOf(code);
    change(establishedAt ? "reconnecting" : "connecting", null, code);
    if (!QUIET.test(code)) hooks.trouble(why);
    if (retry === "open") session.reset(code !== "session_gone");
    if (retry === "no" || (retry === "token" && !tokens.refuse(code)) || tries >= maxRetries) {
      end("failed", code);
      env.stop();
      session.uplink.end(refusal("failed", `${code}: ${why.message}`));
      return;
    }
    const delayMs =
      MORE && isNetwork(why) && why !== UNREACHABLE
        ? PORTAL_MS * (1 + env.random())
        : (why.retry_ms ?? backoff(tries++, cap, baseMs, env.random()));
    await Promise.race([woken(), host.pause(Math.min(delayMs, RETRY_MS_MAX))]);
  };

  /** One poll; the reason, where it was not answered as it should. */
  const poll = async (): Promise<Refusal | undefined> => {
    const { count, uplink, hello } = session;
    const wake = woken();
    const sentAt = env.now();
    const sends = uplink.hasMore();
    const { room } = exchanges;
    const soon = MORE ? quick || room < Infinity : quick;
    const wait = soon ? 0 : Math.min(holdMs, hello.hold_ms, sends ? HOLD_SENDS_MS : Infinity);
    const timeoutMs = soon ? VERDICT_MS : wait + POLL_GRACE_MS;
    quick = false;
    // The one before is answered `superseded`; where it is not, it only takes a connection.
    exchanges.abort(VERDICT_MS);
    const done = exchanges.send(true, timeoutMs, true, { wait });
    const answer = await Promise.race([done.then((why) => ({ why })), wake]);
    if (!answer) {
      // More is to be sent, or a link took over: the next poll goes beside this one. But it makes void what this
      // one is about to be answered: where each did that to the one before, nothing would come on a slow line.
      if (sends && !host.live && !quick) await done;
      return undefined;
    }
    const { why } = answer;
    const tookMs = env.now() - sentAt;
    if (why === UNREACHABLE && Math.min(wait, tookMs) >= HOLD_MIN_MS) {
      holdMs = Math.max(HOLD_MIN_MS, wait * HOLD_PART);
      if (MORE) {
        recorder.holdMs = holdMs;
        verdicts.learn({ holdMs });
      }
    }
    // A frame was refused, most likely: without any the next one may go through.
    if (MORE && isNetwork(why) && room && !exchanges.room) return undefined;
    // Answered at once with nothing: neither the network nor the gateway is to be flooded.
    if (!why && !sends && session.count === count && tookMs < GAP_MS) await host.pause(GAP_MS);
    return why;
  };

  /** The loop while there is a session. */
  const carry = async (): Promise<Refusal | undefined> => {
    let why: Refusal | undefined;
    while (!why && !restart && !host.over && session.ticket) {
      await host.settled();
      climb.plan();
      if (host.live) {
        await woken();
        await host.settled();
        if (!host.live) break;
      } else if (host.may("poll")) {
        // A link came and was lost beside the last poll.
        if (host.state === "reconnecting") break;
        host.polling = true;
        why = await poll();
        host.polling = false;
      } else if (!(await climb.now()) && !host.live) {
        why = restart ?? UNREACHABLE;
      }
    }
    if (env.now() - establishedAt >= HEALTHY_MS) tries = 0;
    return why ?? restart;
  };

  const host: Host & Carrier = {
    env,
    base,
    session,
    tokens,
    allowed,
    state: "connecting",
    transport: null,
    live: undefined,
    probing: undefined,
    polling: false,
    recorder,
    verdicts,
    exchanges: createExchanges(env, base, session, recorder, (output) => host.act(output)),
    wake: () => undefined,
    over: false,
    ...(MORE ? { seen: hooks.seen } : NONE),
    may: (transport) => host.allowed.includes(transport),
    pause: (ms) => new Promise((resolve) => void env.setTimeout(resolve, ms)),
    async settled() {
      if (host.probing?.stage === "attach") await host.probing.proven;
    },
    prove,
    post: MORE ? (frame) => upstream.post(frame) : NONE,
    kick: () => upstream.kick(),

    act(output, link) {
      let why: Refusal | undefined;
      upstream.heard();
      if (typeof output === "object") {
        why = output.why;
        if (output.reopen) {
          session.reset();
          restart = why;
          closeAll();
        } else link?.ended(why);
      } else if (!link) {
        if (output === "reattach") why = UNREACHABLE;
      } else if (output === "attached") {
        if (host.live !== link) {
          host.live?.close();
          if (MORE) climb.adopted(link);
        }
        host.live = link;
        link.adopted();
        if (MORE) liveAt = env.now();
        session.expectPing(session.hello.ping_ms[MORE && !host.seen() ? "hidden" : "visible"]);
        change("connected", link.transport);
        upstream.flush(true);
        host.wake();
      } else if (output === "acknowledge") upstream.acknowledge(link);
      else if (output === "reattach") {
        if (!MORE || link.duplex) link.attach();
        else link.ended();
      } else if (MORE && output && link === host.live) void prove(link.transport);
      upstream.watch();
      if (MORE) hooks.touched();
      return why;
    },

    lost(link, why) {
      // A candidate that sent its `attach` took the session from the older link; another is nothing yet.
      if (link !== host.live && link.reader.link !== session.link) return;
      closeLive();
      if (host.probing?.stage === "attach") return;
      if (MORE) {
        const livedMs = env.now() - liveAt;
        // What the page no longer allows it gave up itself.
        const cut = !why && host.may(link.transport);
        if (cut) recorder.note(link.transport, "cut", livedMs);
        climb.lost(livedMs, cut);
      }
      // Everything may have stalled at once: the first poll has to be answered soon.
      quick = true;
      if (why && retryOf(why.code) !== "no") restart = why;
      change("reconnecting", null, why?.code);
      host.wake();
    },

    async run() {
      // What the page does right after `connect` is part of the opening.
      await undefined;
      while (!host.over) {
        const why = (await establish()) ?? (await carry());
        if (why && !host.over) await recover(why);
      }
    },

    verify(climbs, forgets) {
      if (host.live) host.live.verify();
      else quick = host.polling;
      host.wake();
      if (!MORE || forgets) {
        if (MORE) verdicts.reset();
        climb.changed();
      }
      if ((!MORE || climbs) && session.ticket) void climb.now();
    },

    watched: MORE
      ? () => {
          if (host.live) {
            // Until the next ping says more; a page that is looked at asks by itself.
            session.expectPing(session.hello.ping_ms.hidden);
            upstream.acknowledge(host.live);
            upstream.watch();
          }
          if (host.seen()) host.verify(false);
        }
      : NONE,

    leave: MORE
      ? () => {
          if (session.ticket) exchanges.beacon();
          // A page with a WebSocket is not kept for a return; one that returns reaches its session anew.
          if (host.live?.duplex) closeLive();
        }
      : NONE,

    use: MORE
      ? (transports) => {
          host.allowed = transports;
          if (session.ticket) void climb.now();
          host.wake();
        }
      : NONE,

    cut: MORE
      ? () => {
          exchanges.abort();
          host.probing?.ended();
          host.live?.ended();
        }
      : NONE,

    close: () => (closing ??= shut()),
  };
  const { exchanges } = host;
  const reach = createReach(host, opening);
  const climb = createClimb(host);
  const upstream = createUpstream(host);
  return host;
}
