/** The client: one session with a gateway, its channels, and what the application is told. */
import type { Client, ClientEvents, ConnectOptions, Transport } from "./api.ts";
import { HEALTHY_MS } from "./backoff.ts";
import { type ChannelHost, type ClientChannel, createChannel } from "./channel.ts";
import { createEmitter, type Off } from "./emitter.ts";
import { createEnv, type Env, whenAborted } from "./env.ts";
import { CLOSED, refusal, retryOf, ThroughlineError } from "./errors.ts";
import { MORE, NONE } from "./parts.ts";
import type { OkFrame, PresenceFrame, Refusal, Request } from "./protocol/frames.ts";
import { createSession, type Delivered } from "./session/session.ts";
import { moved, request, type Subscription, subscription } from "./session/subscriptions.ts";
import type { Settle } from "./session/uplink.ts";
import { createCarrier } from "./strategy/carrier.ts";
import { createKeeper } from "./strategy/kept.ts";
import { createTokens } from "./strategy/tokens.ts";
import { resolveBase } from "./transports/address.ts";

const TRANSPORTS: readonly Transport[] = MORE
  ? ["websocket", "stream", "sse", "poll"]
  : ["websocket", "poll"];

/** Milliseconds before a subscription that was refused for now is asked for again. */
const SUBSCRIBE_AGAIN_MS = 2000;

/**
 * Connects to a gateway. It starts at once, and goes on until it is closed.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export function connect(url: string, options: ConnectOptions = {}): Client {
  const env = createEnv(options.env);
  const { queue = 1000, signal, transports } = options;
  const base = resolveBase(url, env.base);
  const { on, emit } = createEmitter<ClientEvents>(env.report);
  const channels = new Map<string, ClientChannel>();
  let wasEstablished = false;
  /** What the application said, else whether the page is hidden. */
  let wantsAway: boolean | undefined;
  /** What the gateway was told; not known where the session is that of the page before. */
  let isAway: boolean | undefined;
  let tellsAway = false;

  // What comes down.

  const deliver = (frame: Delivered): void => {
    const { t } = frame;
    if (t === "skipped") return emit(t, { count: frame.n });
    const { ch } = frame;
    if ("code" in frame) {
      const why = { message: t, ...frame };
      if (ch) refused(ch, why);
      else trouble(why);
    } else if (!ch) emit("caught_up", {});
    else {
      if (MORE && t === "subscribed" && !frame.re && !subs.has(ch)) {
        // The gateway joined this session to a channel by itself.
        const sub = subscription(ch);
        sub.asked = true;
        subs.set(ch, sub);
        moved(sub, frame);
        open(ch);
      }
      channels.get(ch)?.receive(frame);
    }
  };

  const seen = MORE ? (): boolean => env.page?.visible() ?? true : NONE;
  const session = createSession(queue, seen, () => env.now(), deliver);
  const { subs, uplink } = session;

  const trouble = (why: Refusal & { ch?: string }): void =>
    emit("error", new ThroughlineError(why));

  const refused = (ch: string, why: Refusal & { t?: string }): void => {
    const sub = subs.get(ch);
    if (!sub) return;
    // A token that is over is renewed by itself; the subscription follows.
    if (retryOf(why.code) !== "no") {
      env.setTimeout(() => {
        sub.asked = false;
        if (subs.get(ch) === sub) ask(sub);
      }, why.retry_ms ?? SUBSCRIBE_AGAIN_MS);
      return;
    }
    const channel = MORE ? channels.get(ch) : NONE;
    if (MORE && why.t === "unwatched") {
      // The subscription goes on, nobody is known to be there (M39).
      sub.presence = false;
      channel?.receive({ ...why, t: "members" } as unknown as PresenceFrame);
    } else {
      subs.delete(ch);
      channels.delete(ch);
      if (MORE) channel?.end();
    }
    trouble({ ...why, ch });
  };

  // What goes up.

  const push = (frame: Request, settle: Settle = () => undefined, own = true): void => {
    uplink.push(frame, settle, session.hello.limits.frame_bytes, own);
    carrier.kick();
  };

  const ask = (sub: Subscription): void => {
    if (sub.asked || !session.ticket) return;
    push({ t: "subscribe", ...request(sub) }, (outcome) => {
      if ("code" in outcome) refused(sub.ch, outcome);
    });
  };

  const add = (ch: string, since: string | undefined, presence: boolean): void => {
    const sub = subscription(ch, since, presence);
    subs.set(ch, sub);
    ask(sub);
  };

  const host: ChannelHost = {
    env,
    gap: (gap) => emit("gap", gap),
    release(channel) {
      const { name } = channel;
      if (channels.get(name) !== channel) return;
      channels.delete(name);
      const sub = subs.get(name);
      subs.delete(name);
      if (sub?.asked) push({ t: "unsubscribe", ch: name });
    },
    request: (frame, signal) =>
      new Promise<OkFrame>((resolve, reject) => {
        let off: Off | undefined;
        const settle: Settle = (outcome) => {
          off?.();
          if ("code" in outcome) reject(new ThroughlineError(outcome));
          else resolve(outcome as OkFrame);
        };
        const abort = (): void => {
          uplink.withdraw(settle);
          settle(refusal("aborted", "it may be stored"));
        };
        if (carrier.over) return settle({ ...CLOSED, code: carrier.state });
        push(frame, settle, false);
        if (MORE) off = whenAborted(signal, abort);
      }),
  };

  const open = (name: string): ClientChannel => {
    const channel = channels.get(name) ?? createChannel(host, name);
    channels.set(name, channel);
    if (MORE && carrier.over) channel.end();
    return channel;
  };

  const tellAway = (): void => {
    const away = wantsAway ?? !seen();
    // One at a time: only the last word counts.
    if (away === isAway || tellsAway || !session.ticket) return;
    isAway = away;
    tellsAway = true;
    push({ t: "away", away }, () => {
      tellsAway = false;
      tellAway();
    });
  };

  // What carries it.

  const resume = MORE ? (options.resume ?? true) : NONE;
  const key = resume === true ? `throughline:${base}` : resume || "";
  const keeper = MORE ? createKeeper(env, key, session, channels) : NONE;

  const tokens = createTokens(env, options.auth, push);
  const carrier = createCarrier(env, base, session, tokens, usable(env, transports), options, {
    seen,
    changed: (state, transport, reason) => emit("state", { state, transport, reason }),
    established(resumed) {
      if (!resumed) {
        isAway = false;
        if (MORE) tokens.expires(session.hello.expires_ms);
      }
      for (const sub of subs.values()) ask(sub);
      if (MORE) tellAway();
      if (wasEstablished || resumed) emit("resumed", { recovered: resumed });
      wasEstablished = true;
      if (MORE) keeper.touch();
    },
    trouble,
    touched: MORE ? () => keeper.touch() : NONE,
  });

  // What the application sees.

  const close = async (): Promise<void> => {
    const closed = carrier.close();
    for (const off of offs) off();
    uplink.end(CLOSED);
    if (MORE) for (const channel of channels.values()) channel.end();
    if (MORE) keeper.forget();
    await closed;
  };

  const client: Client = {
    get state() {
      return carrier.state;
    },
    get transport() {
      return carrier.transport;
    },
    ...(MORE ? { evidence: carrier.recorder } : NONE),
    get me() {
      return session.hello.me ?? null;
    },
    on,
    channel(name, { presence = false, since } = {}) {
      const channel = open(name);
      const sub = subs.get(name);
      if (!sub) add(name, MORE ? (since ?? keeper.positions.get(name)) : since, presence);
      else if (MORE && unclaimed.delete(name)) {
        // The page that went before had this channel; this one has none of its state.
        if (since || sub.state || presence !== sub.presence) {
          if (session.ticket) push({ t: "unsubscribe", ch: name });
          add(name, since ?? (sub.durable ? sub.since : undefined), presence);
        } else if (presence) {
          push({ t: "presence", chs: [name] }, (outcome) => {
            const answer = (outcome as OkFrame).channels?.[name];
            if (!answer) return;
            // No change is older than this list: the replica of this page is empty.
            const t = answer.members ? "members" : "count";
            channel.receive({ t, ch: name, v: 0, ...answer } as PresenceFrame);
          });
        }
      } else if (MORE && presence && !sub.presence) {
        // One that the gateway joined by itself: asked for again, it begins to tell who is there.
        sub.presence = true;
        sub.asked = false;
        ask(sub);
      }
      return channel;
    },
    ...(MORE
      ? {
          use: (transports) => carrier.use(usable(env, transports)),
          cut: carrier.cut,
          away(away) {
            wantsAway = away;
            tellAway();
          },
          async presence(users) {
            const { users: known = {} } = await host.request({ t: "presence", users: [...users] });
            return new Map(
              Object.entries(known).map(([user, { state, sessions = 0, last_seen: lastSeen }]) => [
                user,
                { state, sessions, lastSeen },
              ]),
            );
          },
          async feedTicket(channels) {
            const ok = await host.request({ t: "feed_ticket", chs: [...channels] });
            const { ticket, expires_ms: expiresMs } = ok as Required<OkFrame>;
            return { ticket, expiresMs };
          },
        }
      : NONE),
    close,
    [Symbol.asyncDispose]: MORE ? close : NONE,
  };

  // The session of the page before goes on: what this page does not ask for ends after a while.
  if (MORE) keeper.restore();
  const unclaimed = MORE ? new Set(session.ticket && subs.keys()) : NONE;
  if (MORE) {
    for (const ch of subs.keys()) open(ch);
    env.setTimeout(() => {
      for (const ch of unclaimed) channels.get(ch)?.unsubscribe();
      unclaimed.clear();
    }, HEALTHY_MS);
  }

  const { page } = env;
  const check = (): void => carrier.verify(true, true);
  const offs: Off[] = !page
    ? []
    : MORE
      ? [
          page.listen("visibilitychange", () => {
            carrier.watched();
            tellAway();
          }),
          page.listen("online", check),
          page.listen("change", check),
          page.listen("pageshow", (persisted) => persisted && carrier.verify(true)),
          page.listen("resume", () => carrier.verify(false)),
          page.listen("pagehide", () => {
            keeper.write(true);
            carrier.leave();
          }),
        ]
      : (["visibilitychange", "online", "pageshow"] as const).map((kind) =>
          page.listen(kind, check),
        );

  if (MORE) offs.push(whenAborted(signal, close));
  void carrier.run();
  return client;
}

/** Those of the transports that this page has, best first; at least one. */
export function usable(
  env: Env,
  transports: readonly Transport[] = TRANSPORTS,
): readonly Transport[] {
  const found = transports.filter(
    (transport) =>
      (!MORE || TRANSPORTS.includes(transport)) && (transport !== "websocket" || env.WebSocket),
  );
  return found.length ? found : ["poll"];
}
