/** A plain, read-only feed: no session, no way up (PROTOCOL.md section 9). It stands alone. */
import type { Feed, FeedEvent, FeedEvents, FeedOptions } from "./api.ts";
import { type Backlog, createBacklog } from "./backlog.ts";
import { backoff, RETRY_MS_MAX } from "./backoff.ts";
import { toEvent } from "./channel.ts";
import { createEmitter, type Off } from "./emitter.ts";
import { createEnv, freshName, type Source, whenAborted } from "./env.ts";
import { ThroughlineError, UNREACHABLE } from "./errors.ts";
import {
  type FeedPage,
  type FrameDown,
  parseFrame,
  type Refusal,
  toFrame,
} from "./protocol/frames.ts";
import { isAfter, type Position, parsePosition } from "./protocol/position.ts";
import { resolveBase } from "./transports/address.ts";
import { exchange } from "./transports/exchange.ts";

export type { Feed, FeedEvent, FeedEvents, FeedOptions, Gap } from "./api.ts";
export type { Off } from "./emitter.ts";
export type { Env, Source } from "./env.ts";
export type { ThroughlineError } from "./errors.ts";
export type { Json } from "./protocol/frames.ts";

/** Milliseconds that one request waits for news. */
const WAIT_MS = 20_000;
/** Milliseconds beyond its wait after which a request is given up. */
const GRACE_MS = 5000;
/** Milliseconds after an answer with nothing in it: neither the network nor the gateway is to be flooded. */
const GAP_MS = 300;
/** Positions that are kept at most: one a channel, and on a state channel one a key. */
const LAST_MAX = 10_000;
/** Errors of an `EventSource` without any event between, after which the feed asks instead. */
const SOURCE_ERRORS_MAX = 2;

/**
 * Reads channels without a session: by `EventSource`, or by requests where there is none or where they
 * are asked for every so often.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export function feed(url: string, channels: readonly string[], options: FeedOptions = {}): Feed {
  const { every, signal } = options;
  const env = createEnv(options.env);
  const root = `${resolveBase(url, env.base)}/feed/${options.ticket ?? freshName(env)}`;
  const query = new URLSearchParams(channels.map((channel) => ["channel", channel]));
  const { on, emit } = createEmitter<FeedEvents>(env.report);
  const backlogs = new Set<Backlog<FeedEvent>>();
  const last = new Map<string, Position>();
  let cursor = options.since;
  let closed = false;
  let source: Source | undefined;
  let off: Off | undefined;

  const address = (): string => {
    if (cursor) query.set("since", cursor);
    return `${root}?${query}`;
  };

  const take = (frame: FrameDown = {}): void => {
    if ("code" in frame) emit("error", new ThroughlineError(frame as Refusal));
    else if (frame.t === "event") {
      // Never twice: a stream and a request may both have brought it.
      const { ch, key, pos } = frame;
      const name = JSON.stringify([ch, key]);
      const at = parsePosition(pos);
      if (at && isAfter(at, last.get(name))) {
        if (last.size > LAST_MAX) last.delete(last.keys().next().value as string);
        last.set(name, at);
        emit("event", { ...toEvent(frame), channel: ch });
      }
    } else if (frame.t === "gap") {
      last.clear();
      emit("gap", { channel: frame.ch, reason: frame.reason, position: frame.pos });
    }
  };

  const ask = async (): Promise<void> => {
    const waitMs = every ? 0 : WAIT_MS;
    query.set("wait", `${waitMs}`);
    for (let failures = 0; !closed; ) {
      let delayMs = backoff(++failures, 20_000, 250, env.random());
      const { text } = await exchange(env, address(), waitMs + GRACE_MS, new Set());
      if (closed) return;
      try {
        const json: FeedPage = JSON.parse(`${text}`);
        delayMs = Math.min(json.retry_ms ?? delayMs, RETRY_MS_MAX);
        const { notes = [], events = [] } = json;
        for (const frame of [json, ...notes, ...events]) take(toFrame(frame));
        if (json.events) {
          cursor = json.cursor;
          failures = 0;
          delayMs = json.more || (!every && json.events.length) ? 0 : (every ?? GAP_MS);
        }
      } catch {
        emit("error", new ThroughlineError(UNREACHABLE));
      }
      if (delayMs > 0) await new Promise<void>((resolve) => void env.setTimeout(resolve, delayMs));
    }
  };

  const listen = (): void => {
    if (closed) return;
    if (!env.EventSource || every) return void ask();
    const stream = new env.EventSource(address());
    let errors = 0;
    source = stream;
    stream.onmessage = ({ data, lastEventId }) => {
      errors = 0;
      take(parseFrame(data));
      if (lastEventId) cursor = lastEventId;
    };
    stream.onerror = () => {
      // State 2: refused, or not an event stream on this network; it would not try again.
      if (stream.readyState !== 2 && ++errors <= SOURCE_ERRORS_MAX) return;
      stream.close();
      void ask();
    };
  };

  const reader: Feed = {
    get cursor() {
      return cursor;
    },
    on,
    close() {
      closed = true;
      off?.();
      source?.close();
      env.stop();
      for (const backlog of backlogs) backlog.end();
    },
    [Symbol.asyncIterator]: () =>
      createBacklog<FeedEvent>(backlogs, reader, ({ channel, position }) =>
        emit("gap", { channel, reason: "overflow", position }),
      ),
  };
  off = whenAborted(signal, reader.close);
  // What the page does right after `feed` comes first.
  queueMicrotask(listen);
  return reader;
}
