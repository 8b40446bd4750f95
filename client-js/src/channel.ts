/** One channel: what came, what was handed over, what goes up. */
import type { Channel, ChannelEvent, ChannelEvents, Gap } from "./api.ts";
import { BACKLOG_EVENTS_MAX, type Backlog, createBacklog } from "./backlog.ts";
import { createEmitter } from "./emitter.ts";
import { type Env, freshName } from "./env.ts";
import { refusal, ThroughlineError } from "./errors.ts";
import { MORE, NONE } from "./parts.ts";
import { createReplica } from "./presence.ts";
import type {
  EventFrame,
  Json,
  OkFrame,
  PresenceFrame,
  Request,
  SessionDown,
} from "./protocol/frames.ts";

/** What a channel needs of its client. */
export interface ChannelHost {
  readonly env: Env;
  request(frame: Request, signal?: AbortSignal): Promise<OkFrame>;
  /** Tells the client's own listeners. */
  gap(gap: Gap): void;
  release(channel: Channel): void;
}

/** A channel as its client sees it. */
export interface ClientChannel extends Channel {
  /** Hands over what the session delivered for this channel. */
  receive(frame: Extract<SessionDown, { ch?: string }>): void;
  /** Whether something came that nobody took. */
  unread(): boolean;
  /** Nothing more comes. */
  end(): void;
}

type Kept = "event" | "gap" | "caught_up";
type Item = { [Kind in Kept]: [Kind, ChannelEvents[Kind]] }[Kept];

export function createChannel(host: ChannelHost, name: string): ClientChannel {
  const { env } = host;
  const emitter = createEmitter<ChannelEvents>(env.report);
  const presence = MORE ? createReplica((_, listener) => emitter.on("presence", listener)) : NONE;
  const backlogs = new Set<Backlog<ChannelEvent>>();
  let over = false;
  let handed: string | undefined;
  /** What came before anybody listened, and the last position in it. */
  let kept: Item[] = [];
  let newest = "";

  /** An iterator that has something to give. */
  const behind = (): Backlog<ChannelEvent> | undefined =>
    MORE ? [...backlogs].find((backlog) => backlog.waits()) : undefined;

  const gap = (position: string, reason = "overflow"): Item => [
    "gap",
    { channel: name, reason, position },
  ];

  const emit = ([kind, value]: Item): void => {
    if (kind !== "caught_up") handed = value.position;
    if (kind === "gap") host.gap(value);
    emitter.emit(kind, value);
  };

  const drain = (): void => {
    while (kept.length && emitter.has("event")) emit(kept.shift() as Item);
  };

  const take = (item: Item): void => {
    if (kept.length >= BACKLOG_EVENTS_MAX) kept = [gap(newest)];
    if (item[0] !== "caught_up") newest = item[1].position;
    kept.push(item);
    // One that is being handed over hands over what follows it, too.
    if (kept.length === 1) drain();
  };

  const history: Channel["history"] = async ({ since, limit, signal } = {}) => {
    const frame: Request = { t: "history", ch: name, since, limit };
    const { events, pos, more, gap } = await host.request(frame, signal);
    return {
      events: Array.isArray(events) ? events.map(toEvent) : [],
      position: pos as string,
      more: !!more,
      gap,
    };
  };

  const channel: ClientChannel = {
    name,
    ...(MORE ? { presence } : NONE),
    get position() {
      return MORE ? (behind() ?? { at: handed }).at : handed;
    },
    on(kind, listener) {
      if (kind === "event") queueMicrotask(drain);
      return emitter.on(kind, listener);
    },
    async publish(data, { id = freshName(env), key, expect, signal } = {}) {
      const frame: Request = { t: "publish", ch: name, data: snapshot(data), id, key, expect };
      const ok = await host.request(frame, MORE ? signal : undefined);
      return { position: ok.pos as string, id, duplicate: !!ok.duplicate };
    },
    ...(MORE ? { history } : NONE),
    unsubscribe() {
      host.release(channel);
      if (MORE) channel.end();
    },
    [Symbol.asyncIterator]: MORE
      ? () => {
          const backlog = createBacklog<ChannelEvent>(
            backlogs,
            channel,
            ({ position }) => emit(gap(position)),
            handed,
          );
          if (over) backlog.end();
          return backlog;
        }
      : NONE,
    receive(frame) {
      const { t } = frame;
      if (t === "event") take([t, toEvent(frame)]);
      else if (t === "gap") take(gap(frame.pos, frame.reason));
      else if (t === "caught_up") take([t, { channel: name }]);
      else if (t === "subscribed") {
        handed ??= frame.pos;
        emitter.emit(t, { position: frame.pos, durable: frame.durable });
      } else if (MORE) {
        const change = presence.learn(frame as PresenceFrame);
        if (change) emitter.emit("presence", change);
      }
    },
    unread: MORE ? () => !!(kept.length || behind()) : NONE,
    end: MORE
      ? () => {
          over = true;
          for (const backlog of backlogs) backlog.end();
        }
      : NONE,
  };
  return channel;
}

/** The event without what only the wire needs. */
export function toEvent({ t, ch, pos, ...event }: EventFrame): ChannelEvent {
  return { ...event, position: pos };
}

/** The data as it is at this moment: a page may change its object before it is sent. */
function snapshot(data: Json): Json {
  try {
    return JSON.parse(JSON.stringify(data));
  } catch {
    throw new ThroughlineError(refusal("bad_data", "publish JSON"));
  }
}
