/** What is in the session storage: the names in it outlive the script that wrote them. */
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
