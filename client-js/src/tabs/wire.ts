/**
 * What the tabs of one browser say to each other, over one BroadcastChannel. Tabs may have loaded different
 * builds, so these names are kept as the names on the wire are. Times are milliseconds since 1970.
 */
import type { AuthReason, State, Transport } from "../api.ts";
import type { Hello, OpenFrame, SessionDown, SessionUp } from "../protocol/frames.ts";

/** Part of the channel's name: raised with each change here that an older build would not read. */
export const DIALECT = 1;

/** One channel of the session, as the next holder needs it. */
export interface Reading {
  ch: string;
  presence: boolean;
  since: string | undefined;
  durable: boolean;
  state: boolean;
  /** Epoch and offset of the last event, by key. */
  keys: [string, [string, number] | undefined][];
  top: string | undefined;
  auto: boolean;
}

/** Where the session stands: what the next holder resumes it from. */
export interface Standing {
  ticket?: string | undefined;
  link: number;
  count: number;
  /** When the token ends; 0 where none does. */
  until: number;
  /** Whether the gateway was told so; not known at first. */
  away: boolean | undefined;
  /** With {@link Standing.readings} only, which are all of them: they are said where one came or went. */
  hello?: Hello;
  readings?: Reading[];
}

/** What the application sees of the session. */
export interface Status {
  state: State;
  transport: Transport | null;
  reason?: string | undefined;
  me?: Hello["me"];
}

/** One thing for one tab, or for all that read its channel. */
export interface Item {
  to?: string;
  data?: SessionDown;
  /** From here on that tab gets what comes for this channel; without `to`, every tab. */
  joins?: string;
  /** The answer to a tab's `open`, or that it has to open again. */
  says?: "hello" | "gone" | "full";
}

/** What the holder says to all tabs. Numbered without a hole in its term. */
export interface Down {
  /** Which holder speaks; the next one's is higher. */
  term: number;
  n: number;
  /** A holder begins, with this as its first: the term before as far as it knows, and the number after the last. */
  claim?: At;
  items: Item[];
  standing?: Standing;
  status?: Status;
  resumed?: { recovered: boolean };
  /** A token is wanted, from any tab that has one. */
  wants?: AuthReason;
}

/** Where a tab is in what holders say: which of them, and the number of the next message. */
export type At = readonly [term: number, next: number];

/** What a tab says to the holder of a term. */
export interface Up {
  from: string;
  term: number;
  open?: OpenFrame;
  /** With `open`: the tab has missed nothing before the message of this number. */
  next?: number | undefined;
  data?: SessionUp;
  visible?: boolean;
  /** The number of the next message that it waits for: said every {@link SEEN_EVERY} messages. */
  seen?: number;
  /** Is anybody there? With the number of the last frame that went up. */
  asks?: number;
  /** The tab has the lock, and knows up to there where the session stands. */
  takes?: At;
  /** To such a tab, from one that knows more. */
  knows?: { at: At; standing: Standing };
  token?: string | undefined;
  transports?: readonly Transport[];
  cut?: boolean;
  leaves?: boolean;
}

/** The tabs speak on another channel from here on: one that stands still would fill this one. */
export interface Move {
  moves: number;
}

/** Said at the door, where the holder hears tabs that hear nothing on the channel that they know. */
export interface Knock {
  at: number;
}

/** Messages between two {@link Up.seen}. */
export const SEEN_EVERY = 256;
