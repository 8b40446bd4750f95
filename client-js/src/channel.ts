/** One channel: what came, what was handed over, what goes up. */
import type {
  Channel,
  ChannelEvent,
  ChannelEvents,
  Gap,
  History,
  HistoryOptions,
  Published,
  PublishOptions,
} from "./api.ts";
import { BACKLOG_EVENTS_MAX, Backlog } from "./backlog.ts";
import { Emitter, type Off } from "./emitter.ts";
import { type Env, freshName } from "./env.ts";
import { refusal, ThroughlineError } from "./errors.ts";
import { Replica } from "./presence.ts";
import type { EventFrame, Json, OkFrame, Request, SessionDown } from "./protocol/frames.ts";

/** What a channel needs of its client. */
export interface ChannelHost {
  readonly env: Env;
  request(frame: Request, signal?: AbortSignal): Promise<OkFrame>;
  /** Tells the client's own listeners. */
  gap(gap: Gap): void;
  release(channel: ClientChannel): void;
}

type Item = { [Kind in "event" | "gap" | "caught_up"]: [Kind, ChannelEvents[Kind]] }[
  | "event"
  | "gap"
  | "caught_up"];

export class ClientChannel implements Channel {
  readonly name: string;
  readonly presence: Replica;
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
    this.presence = new Replica(host.env.report);
  }

  on<Kind extends keyof ChannelEvents>(
    kind: Kind,
    listener: (value: ChannelEvents[Kind]) => void,
  ): Off {
    const off = this.emitter.on(kind, listener);
    if (kind === "event") queueMicrotask(() => this.drain());
    return off;
  }

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

  async publish(data: Json, options: PublishOptions = {}): Promise<Published> {
    const { id = freshName(this.host.env), key, expect, signal } = options;
    const frame: Request = { t: "publish", ch: this.name, data: snapshot(data), id, key, expect };
    const ok = await this.host.request(frame, signal);
    return { position: ok.pos ?? "", id: ok.id ?? id, duplicate: ok.duplicate === true };
  }

  async history({ since, limit, signal }: HistoryOptions = {}): Promise<History> {
    const frame: Request = { t: "history", ch: this.name, since, limit };
    const { events, pos, more } = await this.host.request(frame, signal);
    const page = Array.isArray(events) ? events.map(toEvent) : [];
    return { events: page, position: pos ?? since ?? "0", more: more === true };
  }

  unsubscribe(): void {
    this.host.release(this);
    this.end();
  }

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
  return { data, position: pos, id, at, user, by, key };
}

/** The data as it is at this moment: a page may change its object before it is sent. */
function snapshot(data: Json): Json {
  try {
    return JSON.parse(JSON.stringify(data));
  } catch {
    throw new ThroughlineError(refusal("bad_data", "publish what JSON can say"));
  }
}
