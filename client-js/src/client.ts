/** The client: one session with a gateway, its channels, and what the application is told. */
import type {
  Channel,
  ChannelOptions,
  Client,
  ClientEvents,
  ConnectOptions,
  Gap,
  State,
  Transport,
  UserPresence,
} from "./api.ts";
import { HEALTHY_MS } from "./backoff.ts";
import { type ChannelHost, ClientChannel } from "./channel.ts";
import { Emitter, type Off } from "./emitter.ts";
import { createEnv, type Env, type PageEvent } from "./env.ts";
import { CLOSED, refusal, retryOf, ThroughlineError } from "./errors.ts";
import {
  isObject,
  type Json,
  type OkFrame,
  type Refusal,
  type Request,
  type SessionDown,
} from "./protocol/frames.ts";
import { Session } from "./session/session.ts";
import { request, type Subscription } from "./session/subscriptions.ts";
import type { Settle } from "./session/uplink.ts";
import { Carrier } from "./strategy/carrier.ts";
import type { Hooks } from "./strategy/hooks.ts";
import { Keeper, type PageState } from "./strategy/kept.ts";
import { Tokens } from "./strategy/tokens.ts";
import { resolveBase } from "./transports/address.ts";

const TRANSPORTS: readonly Transport[] = ["websocket", "stream", "sse", "poll"];

/** Milliseconds before a subscription that was refused for now is asked for again. */
const SUBSCRIBE_AGAIN_MS = 2000;

class SessionClient implements Client, Hooks, ChannelHost, PageState {
  readonly env: Env;
  private readonly session: Session;
  private readonly carrier: Carrier;
  private readonly tokens: Tokens;
  private keeper: Keeper | undefined;
  private readonly emitter: Emitter<ClientEvents>;
  private readonly channels = new Map<string, ClientChannel>();
  /** Channels of the resumed session that this page has not asked for. */
  private readonly unclaimed = new Set<string>();
  private readonly offs: Off[] = [];
  private wasEstablished = false;
  /** What the application said, else whether the page is hidden. */
  private wantsAway: boolean | undefined;
  private isAway = false;
  private awaySettle: Settle | undefined;

  constructor(url: string, options: ConnectOptions) {
    const env = createEnv(options.env);
    const { resume = true, signal, transports = TRANSPORTS } = options;
    const base = resolveBase(url, env.base);
    this.env = env;
    this.emitter = new Emitter(env.report);
    this.session = new Session(options.queue ?? 1000);
    this.tokens = new Tokens(env, options.auth, (frame, settle) => this.push(frame, settle));
    const carrierOptions = {
      transports: usable(transports, env),
      info: options.info,
      maxRetries: options.maxRetries ?? Number.POSITIVE_INFINITY,
      backoff: { base: 250, cap: 20_000, ...options.backoff },
    };
    this.carrier = new Carrier(env, base, this.session, this.tokens, carrierOptions, this);
    if (resume !== false) {
      const key = resume === true ? `throughline:${base}` : resume;
      this.keeper = new Keeper(env, key, this.session, this);
      if (this.keeper.restore()) this.restored();
    }
    this.watchPage();
    signal?.addEventListener("abort", () => void this.close());
    if (signal?.aborted) void this.close();
    else void this.carrier.run();
  }

  get state(): State {
    return this.carrier.state;
  }

  get transport(): Transport | null {
    return this.carrier.transport;
  }

  get me(): { id: string; user?: string; info?: Json } | null {
    return this.session.hello.me ?? null;
  }

  on<Kind extends keyof ClientEvents>(
    kind: Kind,
    listener: (value: ClientEvents[Kind]) => void,
  ): Off {
    return this.emitter.on(kind, listener);
  }

  channel(name: string, options: ChannelOptions = {}): Channel {
    const { presence = false, since } = options;
    const { subs } = this.session;
    const channel = this.channels.get(name) ?? new ClientChannel(this, name);
    this.channels.set(name, channel);
    const sub = subs.get(name);
    if (!sub) {
      const kept = this.keeper?.channels.get(name);
      this.ask(subs.add(name, presence, since ?? (kept?.durable ? kept.since : undefined)));
    } else if (this.unclaimed.delete(name)) {
      this.claim(channel, sub, presence, since);
    }
    return channel;
  }

  /** The page that went before had this channel; this one has none of its state. */
  private claim(
    channel: ClientChannel,
    sub: Subscription,
    presence: boolean,
    since?: string,
  ): void {
    if (since !== undefined || sub.state || presence !== sub.presence) {
      this.session.subs.delete(sub.ch);
      if (this.session.ticket !== undefined)
        this.push({ t: "unsubscribe", ch: sub.ch }, () => undefined);
      const kept = sub.durable ? sub.since : undefined;
      this.ask(this.session.subs.add(sub.ch, presence, since ?? kept));
    } else if (presence) {
      this.push({ t: "presence", chs: [sub.ch] }, (outcome) => {
        const answer = outcome.t === "ok" && isObject(outcome.channels) && outcome.channels[sub.ch];
        if (!answer) return;
        // No change is older than this list: the replica of this page is empty.
        const { n, members } = answer;
        const common = { ch: sub.ch, v: 0 };
        if (members) channel.receive({ t: "members", ...common, members });
        else channel.receive({ t: "count", ...common, n });
      });
    }
  }

  use(transports: readonly Transport[]): void {
    this.carrier.use(usable(transports, this.env));
  }

  cut(): void {
    this.carrier.cut();
  }

  away(away: boolean): void {
    this.wantsAway = away;
    this.tellAway();
  }

  async presence(users: readonly string[]): Promise<Map<string, UserPresence>> {
    const ok = await this.request({ t: "presence", users: [...users] });
    const known = new Map<string, UserPresence>();
    for (const [user, value] of Object.entries(isObject(ok.users) ? ok.users : {})) {
      if (!isObject(value)) continue;
      const seen = value["last_seen"];
      known.set(user, {
        state: String(value["state"]),
        lastSeen: typeof seen === "number" ? seen : undefined,
      });
    }
    return known;
  }

  async feedTicket(channels: readonly string[]): Promise<{ ticket: string; expiresMs: number }> {
    const ok = await this.request({ t: "feed_ticket", chs: [...channels] });
    return { ticket: ok.ticket ?? "", expiresMs: ok.expires_ms ?? 0 };
  }

  async close(): Promise<void> {
    const closed = this.carrier.close();
    for (const off of this.offs.splice(0)) off();
    this.session.uplink.end(CLOSED);
    for (const channel of this.channels.values()) channel.end();
    this.keeper?.clear();
    this.keeper = undefined;
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // What the parts ask for.

  gap(gap: Gap): void {
    this.emitter.emit("gap", gap);
  }

  touched(): void {
    this.keeper?.touch();
  }

  unread(): boolean {
    return [...this.channels.values()].some(({ unread }) => unread);
  }

  position(ch: string): string | undefined {
    return this.channels.get(ch)?.position;
  }

  // What goes up.

  private push(frame: Request, settle: Settle): void {
    this.session.uplink.push(frame, settle, this.session.hello.limits.frame_bytes, true);
    this.carrier.kick();
  }

  request(frame: Request, signal?: AbortSignal): Promise<OkFrame> {
    return new Promise((resolve, reject) => {
      const refuse = (why: Refusal): void => reject(new ThroughlineError(why));
      const aborted = refusal("aborted", "the signal aborted it; it may have been sent");
      if (this.carrier.over) return refuse(refusal(this.state, CLOSED.message));
      if (signal?.aborted) return refuse(aborted);
      const settle: Settle = (outcome) => (outcome.t === "ok" ? resolve(outcome) : refuse(outcome));
      signal?.addEventListener("abort", () => {
        this.session.uplink.withdraw(settle);
        refuse(aborted);
      });
      this.session.uplink.push(frame, settle, this.session.hello.limits.frame_bytes);
      this.carrier.kick();
    });
  }

  private ask(sub: Subscription): void {
    if (sub.asked || this.session.ticket === undefined) return;
    this.push({ t: "subscribe", ...request(sub) }, (outcome) => {
      if (outcome.t !== "ok") this.refused(sub.ch, outcome);
    });
  }

  private refused(ch: string, why: Refusal): void {
    const sub = this.session.subs.get(ch);
    if (!sub) return;
    // A token that is over is renewed by itself; the subscription follows.
    if (retryOf(why.code) !== "no") {
      this.env.setTimeout(() => {
        sub.asked = false;
        if (this.session.subs.get(ch) === sub) this.ask(sub);
      }, why.retry_ms ?? SUBSCRIBE_AGAIN_MS);
      return;
    }
    this.session.subs.delete(ch);
    this.channels.get(ch)?.end();
    this.channels.delete(ch);
    this.trouble({ ...why, ch });
  }

  release(channel: ClientChannel): void {
    const { name } = channel;
    if (this.channels.get(name) !== channel) return;
    this.channels.delete(name);
    const sub = this.session.subs.get(name);
    this.session.subs.delete(name);
    if (sub?.asked) this.push({ t: "unsubscribe", ch: name }, () => undefined);
  }

  private tellAway(): void {
    const away = this.wantsAway ?? !this.carrier.visible();
    if (away === this.isAway || this.session.ticket === undefined) return;
    this.isAway = away;
    // Only the last word counts: one that has not left yet is taken back.
    if (this.awaySettle && this.session.uplink.withdraw(this.awaySettle)) {
      this.awaySettle = undefined;
      return;
    }
    this.awaySettle = () => undefined;
    this.push({ t: "away", away }, this.awaySettle);
  }

  // What comes down.

  deliver(frame: SessionDown): void {
    if (frame.t === "skipped") return this.emitter.emit("skipped", { count: frame.n });
    if (frame.t === "ok") return;
    const { ch } = frame;
    if (ch === undefined) {
      if (frame.t === "caught_up") this.emitter.emit("caught_up", {});
      if (frame.t === "error") this.trouble(frame);
      return;
    }
    if (frame.t === "error") return this.refused(ch, frame);
    if (frame.t === "unsubscribed")
      return this.refused(ch, refusal(frame.code, "the gateway ended the subscription"));
    if (frame.t === "subscribed" && frame.re === undefined && !this.channels.has(ch))
      this.joined(frame);
    this.channels.get(ch)?.receive(frame);
  }

  /** The gateway joined this session to a channel by itself. */
  private joined(frame: Extract<SessionDown, { t: "subscribed" }>): void {
    const { subs } = this.session;
    if (subs.get(frame.ch)) return;
    subs.add(frame.ch).asked = true;
    subs.moved(frame);
    this.channels.set(frame.ch, new ClientChannel(this, frame.ch));
  }

  changed(state: State, transport: Transport | null, reason: string | undefined): void {
    this.emitter.emit("state", { state, transport, reason });
  }

  established(resumed: boolean): void {
    if (!resumed) {
      this.isAway = false;
      this.tokens.expires(this.session.hello.expires_ms);
    }
    for (const sub of this.session.subs.values()) this.ask(sub);
    this.tellAway();
    if (this.wasEstablished || resumed) this.emitter.emit("resumed", { recovered: resumed });
    this.wasEstablished = true;
    this.keeper?.touch();
  }

  trouble(why: Refusal & { ch?: string }): void {
    this.emitter.emit("error", new ThroughlineError(why));
  }

  // The page.

  /** The session of the page before goes on: what this page does not ask for ends after a while. */
  private restored(): void {
    for (const { ch } of this.session.subs.values()) {
      this.channels.set(ch, new ClientChannel(this, ch));
      this.unclaimed.add(ch);
    }
    this.env.setTimeout(() => {
      for (const ch of this.unclaimed) this.channels.get(ch)?.unsubscribe();
      this.unclaimed.clear();
    }, HEALTHY_MS);
  }

  private watchPage(): void {
    const { page } = this.env;
    if (!page) return;
    const listen = (kind: PageEvent, listener: (persisted: boolean) => void): void => {
      this.offs.push(page.listen(kind, listener));
    };
    listen("visibilitychange", () => {
      this.carrier.watched(page.visible());
      this.tellAway();
    });
    listen("online", () => this.carrier.verify(true));
    listen("pageshow", (persisted) => {
      if (persisted) this.carrier.verify(true);
    });
    listen("pagehide", () => {
      this.keeper?.write(true);
      this.carrier.leave();
    });
  }
}

/** The transports that this page has; polls where it has none of them. */
function usable(transports: readonly Transport[], env: Env): readonly Transport[] {
  const found = transports.filter(
    (transport) => TRANSPORTS.includes(transport) && (transport !== "websocket" || env.WebSocket),
  );
  return found.length > 0 ? found : ["poll"];
}

/**
 * Connects to a gateway. It starts at once, and goes on until it is closed.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export function connect(url: string, options: ConnectOptions = {}): Client {
  return new SessionClient(url, options);
}
