/** A plain, read-only feed: no session, no way up (PROTOCOL.md section 9). */
import type { Feed, FeedEvent, FeedEvents, FeedOptions } from "./api.ts";
import { Backlog } from "./backlog.ts";
import { backoff } from "./backoff.ts";
import { toEvent } from "./channel.ts";
import { Emitter, type Off } from "./emitter.ts";
import { createEnv, type Env, freshName, type Source } from "./env.ts";
import { ThroughlineError, UNREACHABLE } from "./errors.ts";
import {
  type EventFrame,
  type FrameDown,
  isLinkFrame,
  isObject,
  parseFrame,
  type Refusal,
  toFrame,
} from "./protocol/frames.ts";
import { type Position, parsePosition } from "./protocol/position.ts";
import { resolveBase } from "./transports/address.ts";

/** Milliseconds that one request waits for news. */
const WAIT_MS = 20_000;
/** Milliseconds beyond its wait after which a request is given up. */
const GRACE_MS = 5000;
/** Errors of an `EventSource` without any event between, after which the feed asks instead. */
const SOURCE_ERRORS_MAX = 2;

class Reader implements Feed {
  cursor: string | undefined;
  private readonly env: Env;
  private readonly url: string;
  private readonly options: FeedOptions;
  private readonly emitter: Emitter<FeedEvents>;
  private readonly backlogs = new Set<Backlog<FeedEvent>>();
  private readonly last = new Map<string, Position>();
  private source: Source | undefined;
  private control: AbortController | undefined;
  private timer: unknown;
  private wake: () => void = () => undefined;
  private closed = false;

  constructor(url: string, channels: readonly string[], options: FeedOptions) {
    this.env = createEnv(options.env);
    const query = channels.map((channel) => `channel=${encodeURIComponent(channel)}`).join("&");
    const name = options.ticket ?? freshName(this.env);
    this.url = `${resolveBase(url, this.env.base)}/feed/${name}?${query}`;
    this.options = options;
    this.cursor = options.since;
    this.emitter = new Emitter(this.env.report);
    options.signal?.addEventListener("abort", () => this.close());
    // What the page does right after `feed` comes first.
    queueMicrotask(() => {
      if (options.signal?.aborted) this.close();
      else if (this.env.EventSource && options.every === undefined)
        this.listen(this.env.EventSource);
      else void this.ask();
    });
  }

  on<Kind extends keyof FeedEvents>(kind: Kind, listener: (value: FeedEvents[Kind]) => void): Off {
    return this.emitter.on(kind, listener);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<FeedEvent> {
    const backlog: Backlog<FeedEvent> = new Backlog(
      ({ channel, position }) =>
        this.emitter.emit("gap", { channel, reason: "overflow", position }),
      () => {
        off();
        this.backlogs.delete(backlog);
      },
    );
    const off = this.on("event", (event) => backlog.push(event));
    this.backlogs.add(backlog);
    return backlog;
  }

  close(): void {
    this.closed = true;
    this.source?.close();
    this.control?.abort();
    this.env.clearTimeout(this.timer);
    this.wake();
    for (const backlog of this.backlogs) backlog.end();
  }

  private address(parameters: string): string {
    const since = this.cursor === undefined ? "" : `&since=${encodeURIComponent(this.cursor)}`;
    return `${this.url}${since}${parameters}`;
  }

  private listen(EventSource: NonNullable<Env["EventSource"]>): void {
    const source = new EventSource(this.address(""));
    let errors = 0;
    this.source = source;
    source.onmessage = ({ data, lastEventId }) => {
      const frame = typeof data === "string" ? parseFrame(data) : undefined;
      errors = 0;
      if (frame) this.take(frame);
      if (lastEventId) this.cursor = lastEventId;
    };
    source.onerror = () => {
      // State 2: refused, or not an event stream on this network; it would not try again.
      if (source.readyState !== 2 && ++errors <= SOURCE_ERRORS_MAX) return;
      source.close();
      void this.ask();
    };
  }

  private async ask(): Promise<void> {
    let failures = 0;
    const { every } = this.options;
    while (!this.closed) {
      const more = await this.page(every === undefined ? WAIT_MS : 0);
      if (this.closed) return;
      failures = more === undefined ? failures + 1 : 0;
      const delayMs =
        failures > 0 ? backoff(failures, 20_000, 250, this.env.random()) : (every ?? 0);
      if (more !== true && delayMs > 0) await this.pause(delayMs);
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      this.timer = this.env.setTimeout(resolve, ms);
    });
  }

  /** One request: whether there is more at once, or `undefined` where it failed. */
  private async page(waitMs: number): Promise<boolean | undefined> {
    const control = new AbortController();
    this.control = control;
    const timer = this.env.setTimeout(() => control.abort(), waitMs + GRACE_MS);
    try {
      const url = this.address(`&wait=${waitMs}`);
      const response = await this.env.fetch?.(url, { cache: "no-store", signal: control.signal });
      const json: unknown = await response?.json();
      if (!isObject(json) || !Array.isArray(json["events"])) return this.refused(json);
      const notes: unknown = json["notes"];
      for (const note of Array.isArray(notes) ? notes : []) this.take(toFrame(note));
      for (const event of json["events"]) this.take(toFrame(event));
      if (typeof json["cursor"] === "string") this.cursor = json["cursor"];
      return json["more"] === true;
    } catch {
      return this.refused(undefined);
    } finally {
      this.env.clearTimeout(timer);
    }
  }

  private refused(json: unknown): undefined {
    const known = isObject(json) && json["l"] === "error" && typeof json["code"] === "string";
    const why = known ? (json as unknown as Refusal) : UNREACHABLE;
    if (!this.closed) this.emitter.emit("error", new ThroughlineError(why));
  }

  private take(frame: FrameDown | undefined): void {
    if (!frame || isLinkFrame(frame)) return;
    if (frame.t === "event" && this.isNew(frame)) {
      this.emitter.emit("event", { ...toEvent(frame), channel: frame.ch });
    } else if (frame.t === "gap") {
      this.last.delete(frame.ch);
      this.emitter.emit("gap", { channel: frame.ch, reason: frame.reason, position: frame.pos });
    } else if (frame.t === "error") {
      this.emitter.emit("error", new ThroughlineError(frame));
    }
  }

  /** Never twice: a stream and a request may both have brought it. */
  private isNew({ ch, key, pos }: EventFrame): boolean {
    const name = key === undefined ? ch : `${ch} ${key}`;
    const at = parsePosition(pos);
    const last = this.last.get(name);
    if (!at || (last?.epoch === at.epoch && at.offset <= last.offset)) return false;
    this.last.set(name, at);
    return true;
  }
}

/**
 * Reads channels without a session: by `EventSource`, or by requests where there is none or where they
 * are asked for every so often.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export function feed(url: string, channels: readonly string[], options: FeedOptions = {}): Feed {
  return new Reader(url, channels, options);
}
