/** The token: asked for when a session opens, before it expires, and when the server refuses it. */
import type { Auth, AuthReason } from "../api.ts";
import type { Env } from "../env.ts";
import { refusal, retryOf } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import type { OkFrame, Refusal, Request } from "../protocol/frames.ts";
import type { Settle } from "../session/uplink.ts";

/** Sends a request of the client's own. */
export type Push = (frame: Request, settle: Settle) => void;

/** A token is renewed this many milliseconds before its end, or at four fifths of a short life. */
const RENEW_MS = 30_000;
/** The longest time that a timer can be set to (WHATWG HTML, "Timers": a signed 32-bit number). */
const TIMER_MS_MAX = 2 ** 31 - 1;

export interface Tokens {
  /** The token that the next `open` or `attach` has to show. */
  fresh: string | undefined;
  /** Sees to it that {@link Tokens.fresh} is there where it is needed; the reason, where it cannot be had. */
  prepare(resumed: boolean): Promise<Refusal | undefined>;
  /** The server took what was shown. */
  shown(): void;
  /** The server refused the token; false where there is no other to be had. */
  refuse(code: string): boolean;
  /** The token's remaining life is known: it is renewed in band, on whatever carries the session. */
  expires(inMs: number | undefined): void;
  stop(): void;
}

/** @param push sends a request in band. */
export function createTokens(env: Env, auth: Auth | undefined, push: Push): Tokens {
  let due: AuthReason | undefined = "open";
  /** Refusals since a token was last accepted. */
  let refused = 0;
  let timer: unknown;
  let lifeMs: number | undefined;

  const ask = async (reason: AuthReason): Promise<Refusal | undefined> => {
    try {
      tokens.fresh = await auth?.(reason);
      due = undefined;
    } catch (error) {
      return refusal("auth_failed", `${error}`);
    }
    return undefined;
  };

  const renew = async (reason: AuthReason): Promise<void> => {
    // Where it fails, the server says so when the token is over, and it is asked for again.
    if (await ask(reason)) return;
    const { fresh: token } = tokens;
    tokens.fresh = undefined;
    if (!token) return;
    push({ t: "auth", token }, (outcome) => {
      const { expires_ms, code } = outcome as OkFrame & Refusal;
      tokens.expires(expires_ms);
      if (reason === "expiring" && retryOf(code) === "token") void renew("refused");
    });
  };

  const tokens: Tokens = {
    fresh: undefined,
    async prepare(resumed) {
      if (!resumed) due ??= "open";
      return due && ask(due);
    },
    shown() {
      // An `attached` does not say how long it is good: as long as the one before, most likely.
      if (MORE && tokens.fresh) tokens.expires(lifeMs);
      tokens.fresh = undefined;
      refused = 0;
    },
    refuse(code) {
      due = code === "token_expired" ? "expired" : "refused";
      return !!auth && refused++ < 2;
    },
    expires: MORE
      ? (inMs) => {
          if (!((inMs as number) > 0)) return;
          lifeMs = inMs as number;
          env.clearTimeout(timer);
          const delayMs = Math.min(Math.max(lifeMs - RENEW_MS, lifeMs * 0.8), TIMER_MS_MAX);
          timer = env.setTimeout(() => void renew("expiring"), delayMs);
        }
      : NONE,
    stop: MORE ? () => env.clearTimeout(timer) : NONE,
  };
  return tokens;
}
