/** What the carrier of a session is told by its owner, and tells it. */
import type { State, Transport } from "../api.ts";
import type { Backoff } from "../backoff.ts";
import type { Json, Refusal, SessionDown } from "../protocol/frames.ts";

/** What the session's owner is told. */
export interface Hooks {
  deliver(frame: SessionDown): void;
  changed(state: State, transport: Transport | null, reason: string | undefined): void;
  /** A new session was opened, or the one that was there goes on. */
  established(resumed: boolean): void;
  /** A refusal that the client recovers from by itself. */
  trouble(why: Refusal): void;
  /** Positions, counts or the link changed. */
  touched(): void;
}

export interface CarrierOptions {
  transports: readonly Transport[];
  info: Json | undefined;
  maxRetries: number;
  backoff: Backoff;
}
