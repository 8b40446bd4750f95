/** What the parts that carry a session share, and what they tell the session's owner. */
import type { State, Transport } from "../api.ts";
import type { LinkUp, OpenFrame, Refusal } from "../protocol/frames.ts";
import type { Output, Session } from "../session/session.ts";
import type { Timed } from "../timers.ts";
import type { Recorder } from "./evidence.ts";
import type { Exchanges } from "./exchanges.ts";
import type { Link } from "./link.ts";
import type { Tokens } from "./tokens.ts";
import type { Verdicts } from "./verdict.ts";

/** What the session's owner is told. */
export interface Hooks {
  /** Whether somebody can see the page. */
  seen(): boolean;
  changed(state: State, transport: Transport | null, reason: string | undefined): void;
  /** A new session was opened, or the one that was there goes on. */
  established(resumed: boolean): void;
  /** A refusal that the client recovers from by itself. */
  trouble(why: Refusal): void;
  /** Positions, counts or the link changed. */
  touched(): void;
}

/** What carries the session, as its parts see it. */
export interface Host {
  readonly env: Timed;
  readonly base: string;
  readonly session: Session;
  readonly tokens: Tokens;
  readonly exchanges: Exchanges;
  readonly recorder: Recorder;
  readonly verdicts: Verdicts;
  state: State;
  /** The transports that may be used, best first. */
  allowed: readonly Transport[];
  live: Link | undefined;
  /** The candidate that is being proven. */
  probing: Link | undefined;
  polling: boolean;
  /** Ends what the loop waits for. */
  wake(): void;
  /** Whether it is closed, or failed. */
  over: boolean;
  seen(): boolean;
  may(transport: Transport): boolean;
  pause(ms: number): Promise<void>;
  /** Waits while a link attaches: what is sent meanwhile would take the session from it. */
  settled(): Promise<unknown>;
  /** Does what the session answered; the reason, where that ends what was read. */
  act(output: Output | undefined, link?: Link): Refusal | undefined;
  /** Proves one transport, with `first` by opening a session on it; the reason, where it did not become the link. */
  prove(transport: Link["transport"], first?: OpenFrame): Promise<Refusal | undefined>;
  /** Sends a link frame by exchange, beside what carries the session. */
  post(frame: LinkUp): void;
  /** A link is over. */
  lost(link: Link, why: Refusal | undefined): void;
}
