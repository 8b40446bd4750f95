/**
 * What carries the session: opens it by an exchange, polls, proves better transports behind that one at
 * a time, moves to what is proven, and falls back to polls when a link dies. One loop
 * ({@link Carrier.run}) decides; everything else tells it by ending what it waits for.
 */
import type { State, Transport } from "../api.ts";
import { backoff, HEALTHY_MS, RETRY_MS_MAX } from "../backoff.ts";
import type { Env } from "../env.ts";
import { refusal, retryOf, UNREACHABLE } from "../errors.ts";
import type { LinkUp, OpenFrame, Refusal } from "../protocol/frames.ts";
import type { Output, Session } from "../session/session.ts";
import { Climb, type ClimbHost } from "./climb.ts";
import { Exchanges } from "./exchanges.ts";
import type { CarrierOptions, Hooks } from "./hooks.ts";
import { type Host, Link } from "./link.ts";
import type { Tokens } from "./tokens.ts";
import { GAP_MS, SEND_MS, Upstream, type UpstreamHost } from "./upstream.ts";
import { VERDICT_MS, Watch } from "./watch.ts";

/** Milliseconds that opening, or the first exchange after a loss, may take. */
const OPEN_MS = 8000;
/** A poll is dead this many milliseconds after it should have been answered. */
const POLL_GRACE_MS = 2500;
/** Milliseconds that a poll is held at least, after networks that cut longer ones. */
const HOLD_MIN_MS = 5000;

export class Carrier implements Host, UpstreamHost, ClimbHost {
  state: State = "connecting";
  transport: Transport | null = null;

  private readonly exchanges: Exchanges;
  private readonly upstream: Upstream;
  private readonly climb: Climb;
  private readonly watch: Watch;
  allowed: readonly Transport[];
  live: Link | undefined;
  private probing: Link | undefined;
  polling = false;
  /** Ends what the loop waits for. */
  wake: () => void = () => undefined;
  /** Why the loop has to begin again, where there is a reason. */
  private why: Refusal | undefined;
  private tries = 0;
  /** When the session was last established, and when the live link became it. */
  private establishedAt = 0;
  private liveAt = 0;
  private holdMs: number = Number.POSITIVE_INFINITY;
  /** The next poll is to be answered at once. */
  private quick = false;

  constructor(
    readonly env: Env,
    readonly base: string,
    readonly session: Session,
    private readonly tokens: Tokens,
    private readonly options: CarrierOptions,
    private readonly hooks: Hooks,
  ) {
    this.allowed = options.transports;
    this.exchanges = new Exchanges(env, base, session, (outputs) => this.act(outputs));
    this.climb = new Climb(this);
    this.watch = new Watch(env, session, () => this.kick());
    this.upstream = new Upstream(this, this.exchanges, this.watch);
  }

  get token(): string | undefined {
    return this.tokens.fresh;
  }

  visible(): boolean {
    return this.env.page?.visible() ?? true;
  }

  get over(): boolean {
    return this.state === "closed" || this.state === "failed";
  }

  /** Carries the session until it is closed or fails. */
  async run(): Promise<void> {
    // What the page does right after `connect` is part of the opening.
    await undefined;
    while (!this.over) {
      let why = await this.establish();
      if (!why && !this.over) {
        why = await this.carry();
        if (this.env.now() - this.establishedAt >= HEALTHY_MS) this.tries = 0;
      }
      if (why && !this.over) await this.recover(why);
    }
  }

  private async establish(): Promise<Refusal | undefined> {
    const resumed = this.session.ticket !== undefined;
    // Why the one before ended has been seen to: it must not end this one.
    this.takeWhy();
    const failed = (await this.tokens.prepare(resumed)) ?? (await this.reach());
    const why = this.takeWhy() ?? failed;
    if (why || this.over) return why;
    this.tokens.shown();
    this.establishedAt = this.env.now();
    if (!this.live && this.may("poll")) this.change("connected", "poll");
    this.hooks.established(resumed);
    return undefined;
  }

  /** Opens or attaches: by an exchange, or by a WebSocket where no POST ever came through. */
  private async reach(): Promise<Refusal | undefined> {
    if (this.over) return undefined;
    const { session, token, exchanges } = this;
    const visible = this.visible();
    const kept = session.ticket !== undefined;
    // A candidate has no place for a token, and without a fresh one an expired ticket opens nothing.
    const renews = kept && token !== undefined;
    if (renews || this.allowed.some((transport) => transport !== "websocket")) {
      const why = kept
        ? await exchanges.send({ higher: true, wait: 0, token, visible }, OPEN_MS, true)
        : await exchanges.run([this.opening({ wait: 0, visible })], OPEN_MS);
      if (why !== UNREACHABLE || exchanges.answered || !this.may("websocket")) return why;
    }
    return this.prove("websocket", kept && !renews ? undefined : this.opening({ visible }));
  }

  private opening(options: { wait?: number; visible: boolean }): OpenFrame {
    const { token, session } = this;
    const { info } = this.options;
    session.reset();
    return session.open({ token, info, ...options });
  }

  private async recover(why: Refusal): Promise<void> {
    const { maxRetries, backoff: wait } = this.options;
    const retry = why.code === "superseded" ? "open" : retryOf(why.code);
    this.change(this.establishedAt > 0 ? "reconnecting" : "connecting", null, why.code);
    if (why !== UNREACHABLE) this.hooks.trouble(why);
    if (retry === "open") this.session.reset();
    const hopeless = retry === "no" || (retry === "token" && !this.tokens.refuse(why.code));
    if (hopeless || this.tries >= maxRetries) {
      this.stop("failed", why.code);
      this.session.uplink.end(refusal("failed", `gave up after ${why.code}: ${why.message}`));
      return;
    }
    const delayMs = backoff(this.tries++, wait.cap, wait.base, this.env.random());
    await Promise.race([this.woken(), this.pause(Math.min(why.retry_ms ?? delayMs, RETRY_MS_MAX))]);
  }

  // The loop while there is a session.

  private async carry(): Promise<Refusal | undefined> {
    while (!this.over && this.session.ticket !== undefined && !this.why) {
      await this.settled();
      this.climb.plan();
      if (this.live) {
        await this.woken();
        await this.settled();
        if (!this.live) break;
      } else if (this.may("poll")) {
        this.polling = true;
        const why = await this.poll();
        this.polling = false;
        if (why) return why;
      } else if (!(await this.climb.now()) && !this.live) {
        return this.takeWhy() ?? UNREACHABLE;
      }
    }
    return this.takeWhy();
  }

  private takeWhy(): Refusal | undefined {
    const { why } = this;
    this.why = undefined;
    return why;
  }

  private woken(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.env.setTimeout(resolve, ms));
  }

  /** Waits while a link attaches: what is sent meanwhile would take the session from it. */
  async settled(): Promise<void> {
    if (this.probing?.attaching) await this.probing.proven;
  }

  /** One poll; the reason, where it was not answered as it should. */
  private async poll(): Promise<Refusal | undefined> {
    const { exchanges, session, env, quick } = this;
    const { count } = session;
    const woken = this.woken();
    const sentAt = env.now();
    const sends = exchanges.outgoing.length > 0 || session.uplink.hasMore(sentAt);
    const wait = quick ? 0 : Math.min(this.holdMs, session.hello.hold_ms);
    this.quick = false;
    // The one before is answered `superseded`; where it is not, it only takes a connection.
    exchanges.abort(VERDICT_MS);
    let answered = false;
    const done = exchanges
      .send(
        { higher: true, wait, visible: this.visible() },
        quick ? VERDICT_MS : wait + POLL_GRACE_MS,
        true,
      )
      .finally(() => {
        answered = true;
      });
    await Promise.race([done, woken]);
    if (!answered) {
      // More is to be sent, or a link took over: the next poll goes beside this one.
      if (sends && !this.live) await Promise.race([done, this.pause(GAP_MS)]);
      return undefined;
    }
    const why = await done;
    const tookMs = env.now() - sentAt;
    if (why === UNREACHABLE && tookMs > HOLD_MIN_MS) this.holdMs = Math.max(HOLD_MIN_MS, wait / 2);
    // Answered at once with nothing: neither the network nor the gateway is to be flooded.
    if (!why && !sends && session.count === count && tookMs < GAP_MS) await this.pause(GAP_MS);
    return why;
  }

  act(outputs: Output[], link?: Link): Refusal | undefined {
    let why: Refusal | undefined;
    this.watch.heard();
    for (const output of outputs) {
      switch (output.do) {
        case "deliver":
          this.hooks.deliver(output.frame);
          break;
        case "attached":
          if (link) this.adopt(link);
          break;
        case "acknowledge":
          if (link) this.upstream.acknowledge(link);
          break;
        case "reattach":
          if (link?.duplex) link.attach();
          else if (link) link.ended(undefined);
          else why = UNREACHABLE;
          break;
        case "reopen":
          why = output.why;
          this.reopen(why);
          break;
        case "end":
          why = output.why;
          link?.ended(why);
          break;
        case "rotate":
          if (link && link === this.live) void this.prove(link.transport);
          break;
        default:
          output satisfies never;
      }
    }
    this.watch.set(this.live);
    this.hooks.touched();
    return why;
  }

  private adopt(link: Link): void {
    if (this.live !== link) this.live?.close();
    this.live = link;
    link.adopted();
    this.liveAt = this.env.now();
    const { visible, hidden } = this.session.hello.ping_ms;
    this.session.expectPing(this.visible() ? visible : hidden, this.liveAt);
    this.change("connected", link.transport);
    this.upstream.flush(true);
    this.wake();
  }

  lost(link: Link, why: Refusal | undefined): void {
    // A candidate that sent its `attach` took the session from the older link; another is nothing yet.
    if (link !== this.live && link.reader.link !== this.session.link) return;
    this.live?.close();
    this.live = undefined;
    if (this.probing?.attaching) return;
    this.climb.lost(this.env.now() - this.liveAt);
    if (why && retryOf(why.code) !== "no") this.why = why;
    this.change("reconnecting", null, why?.code);
    this.wake();
  }

  private reopen(why: Refusal): void {
    this.session.reset();
    this.why = why;
    this.live?.close();
    this.live = undefined;
    this.probing?.close();
    this.wake();
  }

  post(frames: LinkUp[]): void {
    this.upstream.post(frames);
  }

  async postAttach(frame: LinkUp): Promise<boolean> {
    return (await this.exchanges.run([frame], SEND_MS)) === undefined;
  }

  // Better transports.

  may(transport: Transport): boolean {
    return this.allowed.includes(transport);
  }

  /** Proves one transport; the reason, where it did not become the link. With `first` it opens. */
  async prove(transport: Link["transport"], first?: OpenFrame): Promise<Refusal | undefined> {
    while (this.probing) await this.probing.proven;
    const link = new Link(this, transport, first);
    this.probing = link;
    const proven = await link.proven;
    this.probing = undefined;
    return proven ? undefined : (link.why ?? UNREACHABLE);
  }

  // What the page and the application ask for.

  /** Something waits to be sent. */
  kick(): void {
    this.upstream.kick();
  }

  /** Asks at once whether the session is still carried: the page slept, or the network `changed`. */
  verify(changed: boolean): void {
    if (this.live) this.live.verify(VERDICT_MS);
    else this.quick = this.polling;
    this.wake();
    if (changed && this.session.ticket !== undefined) void this.climb.now();
  }

  /** The page became visible or hidden: the server pings at another interval. */
  watched(visible: boolean): void {
    const { session, live } = this;
    if (live) {
      const { deadline } = session;
      session.expectPing(session.hello.ping_ms[visible ? "visible" : "hidden"], this.env.now());
      session.deadline = Math.max(deadline, session.deadline);
      this.upstream.acknowledge(live);
      this.watch.set(live);
    }
    if (visible) this.verify(false);
  }

  /** The page goes away; it may come back. */
  leave(): void {
    if (this.session.ticket !== undefined) this.exchanges.beacon({ l: "leaving" });
  }

  /** Allows these transports only, and moves at once. */
  use(transports: readonly Transport[]): void {
    this.allowed = transports;
    if (this.session.ticket !== undefined) void this.climb.now();
    this.wake();
  }

  /** Drops what carries the session, as if the network had. */
  cut(): void {
    this.exchanges.abort();
    this.probing?.ended(undefined);
    this.live?.ended(undefined);
  }

  /** Ends the session and everything that carries it. */
  async close(): Promise<void> {
    if (this.over) return;
    const { live, session, exchanges } = this;
    const byExchange = !live?.duplex && session.ticket !== undefined;
    if (byExchange) exchanges.outgoing.push({ l: "close" });
    else live?.send({ l: "close" });
    const sent = byExchange && exchanges.send({ higher: false, visible: false }, VERDICT_MS, false);
    this.stop("closed", undefined, byExchange);
    await sent;
  }

  private stop(state: State, reason: string | undefined, sends = false): void {
    this.change(state, null, reason);
    this.climb.stop();
    this.watch.stop();
    this.tokens.stop();
    this.live?.close();
    this.live = undefined;
    this.probing?.close();
    this.exchanges.abort(sends ? VERDICT_MS : 0);
    this.wake();
  }

  private change(state: State, transport: Transport | null, reason?: string): void {
    if (this.over || (this.state === state && this.transport === transport)) return;
    this.state = state;
    this.transport = transport;
    this.hooks.changed(state, transport, reason);
  }
}
