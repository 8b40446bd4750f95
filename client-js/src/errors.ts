/** Errors as the application sees them, and what each code lets a client do. */
import type { Refusal } from "./protocol/frames.ts";

/** What a client may do after an error (PROTOCOL.md section 8). */
export type Retry = "no" | "later" | "token" | "open";

const no =
  "bad_frame bad_request bad_channel bad_position too_large unsupported forbidden bad_origin " +
  "unknown_channel not_found bad_method conflict duplicate_id upgrade_required not_subscribed " +
  "not_provided too_many superseded disconnected";

const rows: ReadonlyMap<string, Retry> = new Map([
  ...no.split(" ").map((code): [string, Retry] => [code, "no"]),
  ["unauthorized", "token"],
  ["token_expired", "token"],
  ["session_gone", "open"],
  ["bad_ticket", "open"],
  ["bad_count", "open"],
  ["closed", "open"],
]);

/** What a code lets a client do. A code that is not in the table is tried again later. */
export function retryOf(code: string): Retry {
  return rows.get(code) ?? "later";
}

/**
 * What went wrong, and what to do. Beside the codes of PROTOCOL.md section 8 there are the client's
 * own: `queue_full`, `closed`, `aborted`, `failed`, `unreachable`, `auth_failed`, `bad_data`.
 */
export class ThroughlineError extends Error {
  override readonly name = "ThroughlineError";
  /** Stable, for programs. */
  readonly code: string;
  /** A sentence that says what to do, for people. */
  readonly hint: string;
  /** Milliseconds after which the same may succeed, where the server says so. */
  readonly retryMs: number | undefined;
  /** The channel that it concerns, if one. */
  readonly channel: string | undefined;
  /** The channel's top, where a publish with `expect` met a `conflict`. */
  readonly position: string | undefined;

  constructor(refusal: Refusal & { ch?: string; pos?: string }) {
    const { code, message, ch, pos } = refusal;
    super(`${code}: ${message}`);
    this.code = code;
    this.hint = message;
    this.retryMs = refusal.retry_ms;
    this.channel = ch;
    this.position = pos;
  }
}

/** A refusal that the client makes by itself. */
export function refusal(code: string, message: string): Refusal {
  return { code, message };
}

/** Nothing that speaks this protocol answered. */
export const UNREACHABLE: Refusal = refusal(
  "unreachable",
  "no gateway answered; check the network, the url and the proxies between",
);

/** The client was closed. */
export const CLOSED: Refusal = refusal("closed", "the client is closed; connect again");

/** Another link has the session. */
export const SUPERSEDED: Refusal = refusal("superseded", "another link has this session");
