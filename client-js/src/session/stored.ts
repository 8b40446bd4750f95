/** What is in the storages of the page: the names in it outlive the script that wrote them. */
import type { Transport } from "../api.ts";
import type { Hello } from "../protocol/frames.ts";
import type { Subscription } from "./subscriptions.ts";

/** What a session is resumed from after a reload. */
export interface Kept {
  ticket: string | undefined;
  link: number;
  count: number;
  hello: Hello;
}

export interface Stored extends Kept {
  /** Milliseconds of the clock. */
  now: number;
  channels: Pick<Subscription, "ch" | "presence" | "since" | "durable" | "state">[];
}

/** What is known of a network, in the local storage. */
export interface Verdict {
  /** When it was written, in milliseconds of the clock. */
  at: number;
  /** What was proven last. */
  best?: Transport | undefined;
  /** Whether each message of a stream needs a filler after it: it comes with its successor here. */
  fills?: boolean | undefined;
  rttMs?: number | undefined;
  holdMs?: number | undefined;
  /** When a transport first and last failed since it was proven. */
  failed: Partial<Record<Transport, readonly [number, number]>>;
}
