/** One channel, as the application sees it. */
import { BACKLOG_EVENTS_MAX, Backlog } from "./backlog.ts";
import { Emitter, type Off } from "./emitter.ts";
import { type Env, freshName } from "./env.ts";
import { refusal, ThroughlineError } from "./errors.ts";
import { Presence, type PresenceChange } from "./presence.ts";
import type { EventFrame, Json, OkFrame, Request, SessionDown } from "./protocol/frames.ts";

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
  user?: string;
  /** The member who published it. */
  by?: string;
  /** On a state channel: what this is the latest of. */
  key?: string;
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
  signal?: AbortSignal;
}

export interface Published {
  position: string;
  id: string;
  /** Whether it had been stored before under the same id. */
  duplicate: boolean;
}

export interface HistoryOptions {
  /** Events after this position. Default: the oldest retained. */
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
}

/** What a channel needs of its client. */
export interface ChannelHost {
  readonly env: Env;
  request(frame: Request, signal?: AbortSignal): Promise<OkFrame>;
  /** Tells the client's own listeners. */
  gap(gap: Gap): void;
  release(channel: Channel): void;
}

type Item = { [Kind in "event" | "gap" | "caught_up"]: [Kind, ChannelEvents[Kind]] }[
  | "event"
  | "gap"
  | "caught_up"];

export class Channel implements AsyncIterable<ChannelEvent> {
  readonly name: string;
  /** Who is there. Kept up to date where the channel was opened with `presence`. */
  readonly presence: Presence;
  private readonly host: ChannelHost;
  private readonly emitter: Emitter<ChannelEvents>;
  /** The iterators, with where the channel stood when each began. */
  private readonly backlogs = new Map<Backlog<ChannelEvent>, string | undefined>();
  private handed: string | undefined;
  /** What came before anybody listened. */
  private kept: Item[] = [];

  constructor(host: ChannelHost, name: string) {
    this.host = host;
    this.name = name;
    this.emitter = new Emitter(host.env.report);
    this.presence = new Presence(host.env.report);
  }

  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof ChannelEvents>(
    kind: Kind,
    listener: (value: ChannelEvents[Kind]) => void,
  ): Off {
    const off = this.emitter.on(kind, listener);
    if (kind === "event") queueMicrotask(() => this.drain());
    return off;
  }

  /** Each event from here on, in order. What is not taken in time becomes a `gap`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelEvent> {
    const backlog: Backlog<ChannelEvent> = new Backlog(
      ({ position }) => this.emit(["gap", this.overflow(position)]),
      () => {
        off();
        this.backlogs.delete(backlog);
      },
    );
    const off = this.on("event", (event) => backlog.push(event));
    this.backlogs.set(backlog, this.handed);
    return backlog;
  }

  /**
   * Publishes. While there is no connection it waits, and is sent when there is one.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code, or `queue_full`, `aborted`,
   * `closed`, `failed`, `too_large`, `bad_data`; `unknown_outcome` where it may or may not be stored.
   */
  async publish(data: Json, options: PublishOptions = {}): Promise<Published> {
    const { id = freshName(this.host.env), key, expect, signal } = options;
    const frame: Request = {
      t: "publish",
      ch: this.name,
      data: snapshot(data),
      id,
      ...(key !== undefined && { key }),
      ...(expect !== undefined && { expect }),
    };
    const ok = await this.host.request(frame, signal);
    return { position: ok.pos ?? "", id: ok.id ?? id, duplicate: ok.duplicate === true };
  }

  /**
   * Reads a page of what is retained, without subscribing.
   * @throws {ThroughlineError} (as a rejection) with the gateway's code.
   */
  async history({ since, limit, signal }: HistoryOptions = {}): Promise<History> {
    const frame: Request = {
      t: "history",
      ch: this.name,
      ...(since !== undefined && { since }),
      ...(limit !== undefined && { limit }),
    };
    const { events, pos, more } = await this.host.request(frame, signal);
    const page = Array.isArray(events) ? events.map(toEvent) : [];
    return { events: page, position: pos ?? since ?? "0", more: more === true };
  }

  /** Ends the subscription, the iterators, and this object. */
  unsubscribe(): void {
    this.host.release(this);
    this.end();
  }

  /** The position up to which the application was handed everything. */
  get position(): string | undefined {
    for (const [{ size, last }, start] of this.backlogs)
      if (size > 0) return last?.position ?? start;
    return this.handed;
  }

  /** Whether something came that nobody took. */
  get unread(): boolean {
    return this.kept.length > 0 || [...this.backlogs.keys()].some(({ size }) => size > 0);
  }

  /** Nothing more comes. */
  end(): void {
    for (const backlog of this.backlogs.keys()) backlog.end();
  }

  /** Hands over what the session delivered for this channel. */
  receive(frame: Extract<SessionDown, { ch?: string }>): void {
    switch (frame.t) {
      case "event":
        return this.take(["event", toEvent(frame)]);
      case "gap":
        return this.take([
          "gap",
          { channel: this.name, reason: frame.reason, position: frame.pos },
        ]);
      case "caught_up":
        return this.take(["caught_up", { channel: this.name }]);
      case "subscribed":
        this.handed ??= frame.pos;
        return this.emitter.emit("subscribed", { position: frame.pos, durable: frame.durable });
      case "members":
      case "join":
      case "update":
      case "leave":
      case "count": {
        const change = this.presence.apply(frame);
        if (change) this.emitter.emit("presence", change);
        return;
      }
      case "error":
      case "unsubscribed":
        return;
      default:
        frame satisfies never;
    }
  }

  private take(item: Item): void {
    if (this.emitter.has("event") && this.kept.length === 0) return this.emit(item);
    const last = this.kept[BACKLOG_EVENTS_MAX - 1];
    if (last && last[0] !== "caught_up") {
      this.kept = [["gap", this.overflow(last[1].position)]];
    }
    this.kept.push(item);
  }

  private drain(): void {
    while (this.emitter.has("event")) {
      const item = this.kept.shift();
      if (!item) return;
      this.emit(item);
    }
  }

  private emit(item: Item): void {
    if (item[0] !== "caught_up") this.handed = item[1].position;
    if (item[0] === "gap") this.host.gap(item[1]);
    this.emitter.emit(item[0], item[1]);
  }

  private overflow(position: string): Gap {
    return { channel: this.name, reason: "overflow", position };
  }
}

/** The event without what only the wire needs. */
export function toEvent({ data, pos, id, at, user, by, key }: EventFrame): ChannelEvent {
  return {
    data,
    position: pos,
    id,
    at,
    ...(user !== undefined && { user }),
    ...(by !== undefined && { by }),
    ...(key !== undefined && { key }),
  };
}

/** The data as it is at this moment: a page may change its object before it is sent. */
function snapshot(data: Json): Json {
  try {
    return JSON.parse(JSON.stringify(data));
  } catch {
    throw new ThroughlineError(refusal("bad_data", "publish what JSON can say"));
  }
}
