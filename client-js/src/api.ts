/** What the application sees. Times are milliseconds, sizes are bytes. */
import type { Off } from "./emitter.ts";
import type { Env } from "./env.ts";
import type { ThroughlineError } from "./errors.ts";
import type { Json, Member } from "./protocol/frames.ts";

/** The kinds of a link, in the order in which they are preferred. */
export type Transport = "websocket" | "stream" | "sse" | "poll";

export type State = "connecting" | "connected" | "reconnecting" | "failed" | "closed";

/** Why a token is asked for. */
export type AuthReason = "open" | "expiring" | "expired" | "refused";

/** Answers a token, or nothing for anonymous access. */
export type Auth = (reason: AuthReason) => Promise<string | undefined>;

export interface ConnectOptions {
  /** Answers a token; called when a session opens, before the token expires, and when it is refused. */
  auth?: Auth;
  /** Shown to other members, at most 1024 bytes of JSON. A token's own wins. */
  info?: Json;
  /** The transports that may be used, best first. Default: all. */
  transports?: readonly Transport[];
  /** Whether a reload goes on with the session; a text is the key in the session storage. Default: true. */
  resume?: boolean | string;
  /** Requests that wait while there is no connection, at most; then `queue_full`. Default: 1000. */
  queue?: number;
  /**
   * Tries in a row after which the client gives up; where the gateway says when to come back it comes back.
   * Default: it never does.
   */
  maxRetries?: number;
  /** Milliseconds. Default: base 250, cap 20 000. */
  backoff?: { base?: number; cap?: number };
  /** Closes the client. */
  signal?: AbortSignal;
  /** Other surroundings than the page's: for tests and other runtimes. */
  env?: Partial<Env>;
}

export interface ChannelOptions {
  /**
   * Whether {@link Channel.presence} is kept up to date. Default: false. Where a fresh token does not allow
   * it any more, an `error` with the channel and the hint `unwatched` says so, and nobody is known to be there.
   */
  presence?: boolean;
  /** Where to begin: a position, or `0` for the oldest retained. Default: what is new. */
  since?: string;
}

/** What {@link Client.on} tells. */
export interface ClientEvents {
  /**
   * The state, the transport, or the reason changed. Reasons beside the gateway's codes: `unreachable`, nothing
   * answers; `intercepted`, somebody else does, as a portal that wants a login; `credentials`, requests hang
   * and a WebSocket is refused at once, as where a proxy wants credentials.
   */
  state: { state: State; transport: Transport | null; reason?: string | undefined };
  /**
   * The session goes on, or with `recovered: false` another one was opened in its place, as the same
   * member where only its node was lost.
   */
  resumed: { recovered: boolean };
  /** Everything that was missed has been handed over. */
  caught_up: Record<never, never>;
  gap: Gap;
  /** That many ephemeral events were not delivered. */
  skipped: { count: number };
  error: ThroughlineError;
}

/**
 * How one use of the network ended. `ok`: proven, or answered. `refused`: ended by itself. `hung`: nothing
 * came in time. `opened_dead`: it opened, and no message came. `intercepted`: somebody else answered.
 * `credentials`: requests hang while a WebSocket is refused at once, as where a proxy wants to be logged in to.
 * `cut`: a link, or a poll that was held, ended without a word.
 */
export type Outcome =
  | "ok"
  | "refused"
  | "hung"
  | "opened_dead"
  | "intercepted"
  | "credentials"
  | "cut";

export interface Observation {
  readonly transport: Transport;
  readonly outcome: Outcome;
  /** How long it took; of a `cut`, the age at which it came. */
  readonly ms: number;
  /** When it ended, in milliseconds since 1970. */
  readonly at: number;
}

/** What the client saw of this network. */
export interface Evidence {
  /** The last 32 at most, newest last. Exchanges count as `poll`. */
  readonly observed: readonly Observation[];
  /** The round trip of the last exchange that was not held. */
  readonly rttMs: number | undefined;
  /** How long polls are held at most on this network, where it cut longer ones. */
  readonly holdMs: number | undefined;
}

/** What is known of a user over all devices. */
export interface UserPresence {
  state: string;
  /** Sessions that are open. */
  sessions: number;
  /** Milliseconds since 1970. */
  lastSeen?: number | undefined;
}

/** One session with a gateway. */
export interface Client extends AsyncDisposable {
  readonly state: State;
  /** What carries the session now. */
  readonly transport: Transport | null;
  /** What was seen of the network so far. */
  readonly evidence: Evidence;
  /** This client as other members see it. */
  readonly me: { id: string; user?: string; info?: Json } | null;
  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof ClientEvents>(
    kind: Kind,
    listener: (value: ClientEvents[Kind]) => void,
  ): Off;
  /** The channel of that name: subscribed on first use, and the same object after that. */
  channel(name: string, options?: ChannelOptions): Channel;
  /** Changes the transports that may be used, best first, and moves at once. */
  use(transports: readonly Transport[]): void;
  /** Drops what carries the session, as if the network had: for demonstrations and tests. */
  cut(): void;
  /** Says whether the user is away. Without it, a hidden page is. */
  away(away: boolean): void;
  /**
   * What is known of these users, at most 1000, without joining anything.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code.
   */
  presence(users: readonly string[]): Promise<Map<string, UserPresence>>;
  /**
   * A ticket with which `feed` reads these channels, until it expires.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code.
   */
  feedTicket(channels: readonly string[]): Promise<{ ticket: string; expiresMs: number }>;
  /** Ends the session: other members see it leave at once. What waits is refused with `closed`. */
  close(): Promise<void>;
}

/** What was published. */
export interface ChannelEvent {
  data: Json;
  /** Where the channel stands with it; a reader goes on from here with `since`. */
  position: string;
  /** The id that it was published with. */
  id: string;
  /** When the gateway took it, in milliseconds since 1970. */
  at: number;
  /** The user who published it, where it was a member with one. */
  user?: string | undefined;
  /** The member who published it. */
  by?: string | undefined;
  /** On a state channel: what this is the latest of. */
  key?: string | undefined;
}

/**
 * Events are missing: all up to `position` that were not handed over. Reasons of the gateway: `epoch`,
 * `trimmed`, `ahead`, `tag`. Of the client: `overflow`, nobody took what came; `hole`, the gateway
 * skipped events and the one at `position` comes next.
 */
export interface Gap {
  channel: string;
  reason: string;
  position: string;
}

/** What changed. `members` and `count` stand for everything; the others for one member. */
export interface PresenceChange {
  kind: "members" | "join" | "update" | "leave" | "count";
  /** The one who joined, changed or left. */
  member?: Member;
}

/** Who is in a channel. */
export interface Presence {
  /** The members by id; empty where the channel gives counts only. */
  readonly members: ReadonlyMap<string, Member>;
  /** How many there are. */
  readonly count: number;
  /** Calls `listener` after each change until the answer is called. */
  on(kind: "change", listener: (change: PresenceChange) => void): Off;
}

/** What {@link Channel.on} tells. */
export interface ChannelEvents {
  event: ChannelEvent;
  subscribed: { position: string; durable: boolean };
  gap: Gap;
  /** What was missed has been handed over; what follows is live. */
  caught_up: { channel: string };
  presence: PresenceChange;
}

export interface PublishOptions {
  /** 1–128 printable ASCII characters: the same id is stored once within five minutes. Default: a random one. */
  id?: string;
  /** On a state channel: what this is the latest of. */
  key?: string;
  /** Store it only if the channel stands here; else the error is `conflict`, with the position. */
  expect?: string;
  /** Takes it back where it was not sent yet; rejects with `aborted` either way. */
  signal?: AbortSignal;
}

export interface Published {
  position: string;
  id: string;
  /** Whether it had been stored before under the same id. */
  duplicate: boolean;
}

export interface HistoryOptions {
  /**
   * Events after this position. Default: the oldest retained. A channel with state gives the latest of every
   * key in any case.
   */
  since?: string;
  /** 1–1000, default 100. */
  limit?: number;
  signal?: AbortSignal;
}

export interface History {
  events: ChannelEvent[];
  /** Where the page ends: the `since` of the next. */
  position: string;
  more: boolean;
  /**
   * Why it could not be read on from `since`, as a {@link Gap}'s reason: what lay between is not retained,
   * the page is empty, and `position` is the newest.
   */
  gap?: string | undefined;
}

/** One channel of a client. Iterated, it gives each event from there on, in order. */
export interface Channel extends AsyncIterable<ChannelEvent> {
  readonly name: string;
  /** Who is there. Kept up to date where the channel was opened with `presence`. */
  readonly presence: Presence;
  /** The position up to which the application was handed everything. */
  readonly position: string | undefined;
  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof ChannelEvents>(
    kind: Kind,
    listener: (value: ChannelEvents[Kind]) => void,
  ): Off;
  /**
   * Publishes. While there is no connection it waits, and is sent when there is one.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code, or `queue_full`, `aborted`,
   * `closed`, `failed`, `too_large`, `bad_data`, `blocked`; `unknown_outcome` where it may or may not be
   * stored.
   */
  publish(data: Json, options?: PublishOptions): Promise<Published>;
  /**
   * Reads a page of what is retained, without subscribing.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code.
   */
  history(options?: HistoryOptions): Promise<History>;
  /** Ends the subscription, the iterators, and this object. */
  unsubscribe(): void;
  /** Each event from here on, in order. What is not taken in time becomes a `gap`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelEvent>;
}

/** An event of a feed, with the channel that it belongs to. */
export interface FeedEvent extends ChannelEvent {
  channel: string;
}

/** What {@link Feed.on} tells. */
export interface FeedEvents {
  event: FeedEvent;
  gap: Gap;
  error: ThroughlineError;
}

export interface FeedOptions {
  /** A position (one channel), a cursor (several), or `0` for the oldest retained. Default: what is new. */
  since?: string;
  /** Milliseconds between two requests: the feed then asks rather than waits. */
  every?: number;
  /** A feed ticket, for channels that are not public. */
  ticket?: string;
  signal?: AbortSignal;
  env?: Partial<Env>;
}

/** Channels that are only read. Iterated, it gives each event from there on, in order. */
export interface Feed extends AsyncIterable<FeedEvent> {
  /** Where the feed stands: the `since` of one that goes on. */
  readonly cursor: string | undefined;
  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof FeedEvents>(kind: Kind, listener: (value: FeedEvents[Kind]) => void): Off;
  /** Ends the feed and its iterators. */
  close(): void;
  /** Each event from here on, in order. What is not taken in time becomes a `gap`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<FeedEvent>;
}
