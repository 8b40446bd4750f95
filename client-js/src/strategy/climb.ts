/** When better transports are tried again: soon after a loss, then ever more rarely. */

import { HEALTHY_MS } from "../backoff.ts";
import type { Env } from "../env.ts";

/** Milliseconds before each of the first rounds: the first at once, the last for five minutes. */
const DELAYS_MS: readonly number[] = [0, 1000, 5000, 15_000, 30_000];
const OFTEN_MS = 5 * 60_000;
/** Milliseconds between rounds after that. */
const RARELY_MS = 5 * 60_000;

export class Climb {
  private readonly env: Env;
  private readonly round: () => Promise<boolean>;
  private rung = 0;
  private since: number;
  private timer: unknown;
  private running: Promise<boolean> | undefined;
  private stopped = false;

  /** @param round tries what is better than the link; true where nothing is. */
  constructor(env: Env, round: () => Promise<boolean>) {
    this.env = env;
    this.round = round;
    this.since = env.now();
  }

  /** Sees to it that a round runs or is planned. */
  plan(): void {
    if (this.timer !== undefined || this.running || this.stopped) return;
    const often = this.env.now() - this.since < OFTEN_MS;
    const delayMs = DELAYS_MS[Math.min(this.rung++, DELAYS_MS.length - 1)] ?? 0;
    if (delayMs === 0) void this.now();
    else this.timer = this.env.setTimeout(() => void this.now(), often ? delayMs : RARELY_MS);
  }

  /** Runs a round, or joins the one that runs; true where nothing better is left. */
  now(): Promise<boolean> {
    this.cancel();
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
    this.since = this.env.now();
  }

  private cancel(): void {
    this.env.clearTimeout(this.timer);
    this.timer = undefined;
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }
}
