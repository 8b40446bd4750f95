/** Errors as the application sees them, and what each code lets a client do. */
import { MORE } from "./parts.ts";
import type { Refusal } from "./protocol/frames.ts";

/** What a client may do after an error (PROTOCOL.md section 8). */
export type Retry = "no" | "later" | "token" | "open";

/** What only those codes have in them. */
const OPEN = /gone|_ticket|_count|^closed/;
const TOKEN = /unauth|expired/;
/** How the codes begin that are final, of those that are left. */
const NO = /^(bad|con|dis|du|fo|no|su|too_l|too_many$|unknown_c|uns|up)/;

/** What a code lets a client do. A code that is not in the table is tried again later. */
export function retryOf(code: string): Retry {
  return OPEN.test(code) ? "open" : TOKEN.test(code) ? "token" : NO.test(code) ? "no" : "later";
}

/**
 * What went wrong, and what to do. Beside the codes of PROTOCOL.md section 8 there are the client's
 * own: `queue_full`, `closed`, `aborted`, `failed`, `unreachable`, `auth_failed`, `bad_data`,
 * `blocked`.
 */
export class ThroughlineError extends Error {
  override readonly name = "ThroughlineError";
  /** Stable, for programs. */
  readonly code: string;
  /** Says what to do, or what of a channel the gateway ended (`unsubscribed`, `unwatched`), for people. */
  readonly hint: string;
  /** Milliseconds after which the same may succeed, where the server says so. */
  readonly retryMs: number | undefined;
  /** The channel that it concerns, if one. */
  readonly channel: string | undefined;
  /** The channel's top, where a publish with `expect` met a `conflict`. */
  readonly position: string | undefined;

  constructor({ code, message, retry_ms, ch, pos }: Refusal & { ch?: string; pos?: string }) {
    super(`${code}: ${message}`);
    this.code = code;
    this.hint = message;
    this.retryMs = retry_ms;
    this.channel = ch;
    this.position = pos;
  }
}

/** A refusal that the client makes by itself. */
export function refusal(code: string, message: string): Refusal {
  return { code, message: MORE ? message : code };
}

/** Nothing that speaks this protocol answered. */
export const UNREACHABLE: Refusal = refusal("unreachable", "check the network");

/** Somebody else answered: a portal, or a cache. */
export const INTERCEPTED: Refusal = refusal("intercepted", "log in");

/** A proxy keeps requests until somebody gives it credentials. */
export const CREDENTIALS: Refusal = refusal("credentials", "log in");

/** Whether the network is to blame, and nothing of the gateway's was heard. */
export function isNetwork(why: Refusal | undefined): boolean {
  return MORE
    ? why === UNREACHABLE || why === INTERCEPTED || why === CREDENTIALS
    : why === UNREACHABLE;
}

/** The client was closed. */
export const CLOSED: Refusal = refusal("closed", "connect again");
