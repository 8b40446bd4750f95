/**
 * Better transports: proved one at a time, best first, behind what carries the session. Tried soon
 * after a loss, then ever more rarely.
 */
import type { Transport } from "../api.ts";
import { HEALTHY_MS } from "../backoff.ts";
import type { Env } from "../env.ts";
import type { Refusal } from "../protocol/frames.ts";
import type { Session } from "../session/session.ts";
import type { Link } from "./link.ts";

/** Milliseconds before each of the first rounds: the first at once, the last for five minutes. */
const DELAYS_MS: readonly number[] = [0, 1000, 5000, 15_000, 30_000];
const OFTEN_MS = 5 * 60_000;
/** Milliseconds between rounds after that. */
const RARELY_MS = 5 * 60_000;

/** What the climb needs of what carries the session. */
export interface ClimbHost {
  readonly env: Env;
  readonly session: Session;
  readonly live: Link | undefined;
  readonly over: boolean;
  /** The transports that may be used, best first. */
  readonly allowed: readonly Transport[];
  /** The reason, where the transport did not become the link. */
  prove(transport: Link["transport"]): Promise<Refusal | undefined>;
}

export class Climb {
  private readonly host: ClimbHost;
  private rung = 0;
  private since: number;
  private timer: unknown;
  private running: Promise<boolean> | undefined;

  constructor(host: ClimbHost) {
    this.host = host;
    this.since = host.env.now();
  }

  /** Sees to it that a round runs or is planned. */
  plan(): void {
    const { env, over } = this.host;
    if (this.timer !== undefined || this.running || over || this.isTop()) return;
    const delayMs = DELAYS_MS[Math.min(this.rung++, DELAYS_MS.length - 1)] ?? 0;
    const often = env.now() - this.since < OFTEN_MS;
    if (delayMs === 0) void this.now();
    else this.timer = env.setTimeout(() => void this.now(), often ? delayMs : RARELY_MS);
  }

  /** Runs a round, or joins the one that runs; true where nothing better is left. */
  now(): Promise<boolean> {
    this.stop();
    this.running ??= this.round().then((top) => {
      this.running = undefined;
      if (!top) this.plan();
      return top;
    });
    return this.running;
  }

  /** A link that lived `livedMs` was lost: after a healthy life the rounds begin anew. */
  lost(livedMs: number): void {
    if (livedMs < HEALTHY_MS) return;
    this.rung = 1;
    this.since = this.host.env.now();
  }

  stop(): void {
    this.host.env.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async round(): Promise<boolean> {
    const { host } = this;
    const { allowed } = host;
    for (const transport of allowed) {
      if (host.over || host.session.ticket === undefined) return true;
      if (host.live?.transport === transport) break;
      if (transport === "poll") host.live?.ended(undefined);
      if (transport === "poll" || !(await host.prove(transport))) break;
    }
    // The application changed its mind meanwhile.
    if (allowed !== host.allowed) return this.round();
    if (host.live && !allowed.includes(host.live.transport)) host.live.ended(undefined);
    return this.isTop();
  }

  private isTop(): boolean {
    return (this.host.live?.transport ?? "poll") === this.host.allowed[0];
  }
}
