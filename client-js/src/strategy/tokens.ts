/** The token: asked for when a session opens, before it expires, and when the server refuses it. */
import type { Auth, AuthReason } from "../api.ts";
import type { Env } from "../env.ts";
import { refusal, retryOf } from "../errors.ts";
import type { Refusal, Request } from "../protocol/frames.ts";
import type { Settle } from "../session/uplink.ts";

/** Sends a request of the client's own. */
export type Push = (frame: Request, settle: Settle) => void;

/** A token is renewed this many milliseconds before its end, or at four fifths of a short life. */
const RENEW_MS = 30_000;
/** The longest time that a timer can be set to (WHATWG HTML, "Timers": a signed 32-bit number). */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Tokens {
  /** The token that the next `open` or `attach` has to show. */
  fresh: string | undefined;
  private readonly env: Env;
  private readonly auth: Auth | undefined;
  private due: AuthReason | undefined = "open";
  /** Refusals since a token was last accepted. */
  private refused = 0;
  private timer: unknown;
  private lifeMs: number | undefined;

  private readonly push: Push;

  /** @param push sends a request in band. */
  constructor(env: Env, auth: Auth | undefined, push: Push) {
    this.env = env;
    this.auth = auth;
    this.push = push;
  }

  /** Sees to it that {@link fresh} is there where it is needed; the reason, where it cannot be had. */
  async prepare(resumed: boolean): Promise<Refusal | undefined> {
    if (!resumed) this.due ??= "open";
    return this.due && this.auth ? this.ask(this.due) : undefined;
  }

  private async ask(reason: AuthReason): Promise<Refusal | undefined> {
    try {
      this.fresh = await this.auth?.(reason);
      this.due = undefined;
      return undefined;
    } catch (error) {
      return refusal("auth_failed", `the auth function threw: ${String(error)}`);
    }
  }

  /** The server took what was shown. */
  shown(): void {
    // An `attached` does not say how long it is good: as long as the one before, most likely.
    if (this.fresh !== undefined) this.expires(this.lifeMs);
    this.fresh = undefined;
    this.refused = 0;
  }

  /** The server refused the token; false where there is no other to be had. */
  refuse(code: string): boolean {
    this.due = code === "token_expired" ? "expired" : "refused";
    return this.auth !== undefined && this.refused++ < 2;
  }

  /** The token's remaining life is known: it is renewed in band, on whatever carries the session. */
  expires(inMs: number | undefined): void {
    if (!this.auth || typeof inMs !== "number") return;
    this.lifeMs = inMs;
    this.env.clearTimeout(this.timer);
    const delayMs = Math.min(Math.max(inMs - RENEW_MS, inMs * 0.8), TIMER_MS_MAX);
    this.timer = this.env.setTimeout(() => void this.renew("expiring"), delayMs);
  }

  private async renew(reason: AuthReason): Promise<void> {
    // Where it fails, the server says so when the token is over, and it is asked for again.
    if (await this.ask(reason)) return;
    const token = this.fresh;
    this.fresh = undefined;
    if (token === undefined) return;
    this.push({ t: "auth", token }, (outcome) => {
      if (outcome.t === "ok") this.expires(outcome.expires_ms);
      else if (retryOf(outcome.code) === "token" && reason === "expiring")
        void this.renew("refused");
    });
  }

  stop(): void {
    this.env.clearTimeout(this.timer);
  }
}
