/**
 * The frames of PROTOCOL.md, sections 5 to 8, as types. Times are milliseconds, sizes are bytes.
 * A member up that is `undefined` is not sent: JSON drops it.
 */

import { attempt } from "../attempt.ts";
import { MORE } from "../parts.ts";

/** Anything that JSON can say (RFC 8259). */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A subscription as `open` names it. */
export interface SubscriptionRequest {
  ch: string;
  since?: string | undefined;
  presence?: boolean | undefined;
}

/** One member of a channel. */
export interface Member {
  /** Public id of the member's session. */
  id: string;
  user?: string | undefined;
  info?: Json | undefined;
  state: "online" | "away";
}

export interface OpenFrame {
  l: "open";
  v: 1;
  token?: string | undefined;
  /** Of the session before: where no node has it any more, it goes on with the same member (M44). */
  ticket?: string | undefined;
  info?: Json | undefined;
  subs?: SubscriptionRequest[] | undefined;
  link?: number | undefined;
  visible?: boolean | undefined;
}

export interface AttachFrame {
  l: "attach";
  ticket?: string | undefined;
  link: number;
  count: number;
  via?: string | undefined;
  token?: string | undefined;
  visible?: boolean | undefined;
  wait?: number | undefined;
}

/** Link frames up: of one connection, never counted. */
export type LinkUp =
  | OpenFrame
  | AttachFrame
  | { l: "candidate"; v: 1; ticket: string | undefined; filler?: boolean | undefined }
  | { l: "echo"; id: string; via?: string | undefined }
  | { l: "pong"; count?: number | undefined; visible?: boolean | undefined }
  | { l: "leaving" | "close" };

/** Session frames up, before they get their number. */
export type Request =
  | ({ t: "subscribe" } & SubscriptionRequest)
  | { t: "unsubscribe"; ch: string }
  | {
      t: "publish";
      ch: string;
      data: Json;
      id: string;
      key?: string | undefined;
      expect?: string | undefined;
    }
  | { t: "history"; ch: string; since?: string | undefined; limit?: number | undefined }
  | { t: "presence"; chs?: string[] | undefined; users?: string[] | undefined }
  | { t: "auth"; token: string }
  | { t: "away"; away: boolean }
  | { t: "feed_ticket"; chs: string[] };

/** A session frame up with its number. */
export type SessionUp = Request & { seq: number };

export type FrameUp = LinkUp | SessionUp;

/** What the server says of itself and of the session when it opens. */
export interface Hello {
  via: string;
  nonce: string;
  ticket?: string;
  me?: { id: string; user?: string; info?: Json };
  ping_ms?: { visible: number; hidden: number };
  window_ms?: number;
  hold_ms?: number;
  outbox?: { frames: number; bytes: number };
  limits?: { frame_bytes: number; frames: number };
  expires_ms?: number;
}

/** What an `error` frame, a refusal's body or a close carries. */
export interface Refusal {
  code: string;
  message: string;
  retry_ms?: number;
}

/** Link frames down. */
export type LinkDown =
  | ({ l: "hello" } & Hello)
  | { l: "attached"; link: number; from: number; up: number; ticket: string }
  | { l: "echo"; id: string }
  | { l: "ping"; n: number; up: number; next: number }
  | { l: "superseded"; link: number }
  | { l: "rotate" | "filler" }
  | ({ l: "error"; scope?: "link" | "session" } & Refusal);

export interface EventFrame {
  t: "event";
  ch: string;
  pos: string;
  id: string;
  at: number;
  user?: string;
  by?: string;
  key?: string;
  data: Json;
}

/** The answer to a request; which members it has depends on the request (PROTOCOL.md section 7). */
export interface OkFrame {
  t: "ok";
  re: number;
  pos?: string;
  id?: string;
  duplicate?: boolean;
  events?: EventFrame[];
  more?: boolean;
  /** Why the position that was named could not be read on from; `pos` is then the top. */
  gap?: string;
  channels?: Record<string, { n: number; members?: Member[] }>;
  users?: Record<string, { state: string; sessions?: number; last_seen?: number }>;
  expires_ms?: number;
  ticket?: string;
}

export type ErrorFrame = {
  t: "error";
  re?: number;
  ch?: string;
  pos?: string;
  /** The tab that has the session has tried again already. */
  final?: boolean;
} & Refusal;

/** Changes of presence, numbered by `v` (M35). */
export type PresenceFrame =
  | { t: "members"; ch: string; v: number; members: Member[] }
  | { t: "join" | "update"; ch: string; v: number; member: Member }
  | { t: "leave"; ch: string; v: number; id: string }
  | { t: "count"; ch: string; v: number; n: number };

/** Session frames down: counted, in order. */
export type SessionDown =
  | EventFrame
  | OkFrame
  | ErrorFrame
  | PresenceFrame
  | { t: "subscribed"; re?: number; ch: string; pos: string; durable: boolean; state?: boolean }
  | { t: "unsubscribed" | "unwatched"; ch: string; code: string }
  | { t: "gap"; ch: string; reason: string; pos: string }
  | { t: "skipped"; n: number }
  | { t: "caught_up"; ch?: string };

/** A frame that takes a number and says nothing: withdrawn, of no known kind, or malformed. */
export interface EmptyFrame {
  l?: never;
  t?: never;
}

/** What a request to a feed is answered with (PROTOCOL.md section 9); a refusal is one frame. */
export interface FeedPage extends Partial<Pick<Refusal, "retry_ms">> {
  events?: unknown[];
  /** Frames of other kinds: `gap`, `skipped` and `error`. */
  notes?: unknown[];
  cursor: string;
  /** Whether the next request finds more at once. */
  more?: boolean;
}

/**
 * One frame down. One with `l` concerns its connection only and is never counted. Kinds that are not known
 * are {@link EmptyFrame}, or were not read at all.
 */
export type FrameDown = (LinkDown & { t?: never }) | (SessionDown & { l?: never }) | EmptyFrame;

/** Whether a value is a JSON object, whose members may then be looked at. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const NUMBERS = /^(link|from|up|n|next|re|v|at|retry_ms)$/;
const TEXTS = /^(ticket|ch|pos|id|code|key)$/;

/**
 * Whether every member that the client acts upon, where it is there, has its type. Who reads one copes
 * with its absence.
 */
function isSound(frame: Record<string, unknown>): boolean {
  return Object.entries(frame).every(([name, value]) =>
    NUMBERS.test(name)
      ? Number.isSafeInteger(value) && (value as number) >= 0
      : !TEXTS.test(name) || typeof value === "string",
  );
}

/**
 * Reads one value as a frame down. A session frame that is malformed still takes its number (M2), so
 * it becomes an {@link EmptyFrame}; what is no frame, or a link frame that says nothing, is `undefined` (M1).
 */
export function toFrame(value: unknown): FrameDown | undefined {
  if (!isObject(value)) return undefined;
  if (!MORE) return value as FrameDown;
  const sound = isSound(value);
  if (value["l"] !== undefined) return sound ? (value as unknown as LinkDown) : undefined;
  return sound && typeof value["t"] === "string" ? (value as unknown as SessionDown) : {};
}

/** Reads one frame's text; `undefined` where it is none. */
export function parseFrame(text: unknown): FrameDown | undefined {
  return attempt(() => toFrame(JSON.parse(text as string)));
}
