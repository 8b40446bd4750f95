/** One request or connection of a diagnosis, with the times of all that came. */
import { type Env, freshName } from "../env.ts";
import { encodeBody } from "../protocol/body.ts";
import { type FrameDown, type FrameUp, parseFrame } from "../protocol/frames.ts";
import { lineReader } from "../protocol/lines.ts";
import { addressOf } from "../transports/address.ts";
import type { Connection } from "../transports/connection.ts";
import { parseAnswer } from "../transports/exchange.ts";
import { openWebSocket } from "../transports/websocket.ts";
import type { EchoSeen, ExchangeSeen, LinkSeen } from "./observed.ts";

/** What may be a frame, or somebody's page: not the other fields of an event stream, nor its empty lines. */
const FRAME = /^\s*[{<]/;

/** What probes share. */
export interface Ground {
  readonly env: Env;
  /** The gateway's path. */
  readonly base: string;
  /** Ends every probe. */
  readonly signal: AbortSignal;
  pause(ms: number): Promise<void>;
}

/** How a request is sent: as the client does, or in a way that something may mind. */
export type Form = "form" | "text/plain" | "application/json" | "GET" | "unread";

export interface Answer {
  readonly seen: ExchangeSeen;
  readonly frames: readonly FrameDown[];
}

function initOf(form: Form, frames: readonly FrameUp[]): RequestInit {
  if (form === "GET") return {};
  // WHATWG Fetch, "no-cors": the page learns that something answered, and nothing else.
  if (form === "unread") return { mode: "no-cors" };
  if (form === "form") return { method: "POST", body: new URLSearchParams(encodeBody(frames)) };
  return { method: "POST", body: JSON.stringify(frames), headers: { "Content-Type": form } };
}

/** Sends frames and reads the complete answer. */
export async function ask(
  ground: Ground,
  frames: readonly FrameUp[],
  withinMs: number,
  form: Form = "form",
): Promise<Answer> {
  const { env, base } = ground;
  const nonce = freshName(env);
  const plain = form === "GET" || form === "unread";
  const url = plain ? `${base}/feed/${nonce}?channel=x&wait=0` : addressOf(base, nonce, "x");
  const control = new AbortController();
  const timer = env.setTimeout(() => control.abort(), withinMs);
  const abort = (): void => control.abort();
  ground.signal.addEventListener("abort", abort);
  const startedAt = env.now();
  let response: Response | undefined;
  let text: string | undefined;
  try {
    const init = { ...initOf(form, frames), cache: "no-store" as const, signal: control.signal };
    response = await env.fetch?.(url, init);
    text = await response?.text();
  } catch {
    // The page is told no reason (WHATWG Fetch, "network error").
  }
  const ms = env.now() - startedAt;
  env.clearTimeout(timer);
  ground.signal.removeEventListener("abort", abort);
  const answer = parseAnswer(text ?? "");
  const refusal = answer.find((frame) => frame.l === "error");
  const failed = control.signal.aborted ? "hung" : "failed";
  const result = (): ExchangeSeen["result"] => {
    if (text === undefined) return failed;
    if (form === "unread") return "ok";
    if (refusal) return "refused";
    const ours = answer.every((frame) => frame.l !== "hello" || frame.nonce === nonce);
    return answer.some((frame) => frame.l) && ours ? "ok" : "foreign";
  };
  const seen: ExchangeSeen = {
    result: result(),
    ms,
    status: response?.status || undefined,
    type: response?.headers.get("content-type") ?? undefined,
    code: refusal?.l === "error" ? refusal.code : undefined,
  };
  return { seen, frames: answer };
}

/** One connection while it is watched. */
export interface Watched {
  /** What was seen so far. */
  seen(): LinkSeen;
  /** What the gateway calls this connection, once it said hello. */
  via(): string | undefined;
  /** Settled at the hello, at the end, or after the time that a connection is given. */
  readonly ready: Promise<void>;
  /** Sends a frame, where the connection has a way up. */
  send(frame: FrameUp): void;
  /** Notes that a message of this name is asked for from now on. */
  asks(id: string): void;
  close(): void;
}

/** What a connection is told by its adapter. */
interface Sink {
  opened(status?: number): void;
  bytes(count: number): void;
  frame(frame: FrameDown | undefined): void;
  ended(): void;
}

/** Watches a connection of the given kind that begins with this frame. */
export function watch(
  ground: Ground,
  kind: "ws" | "s" | "e",
  first: FrameUp,
  stepMs: number,
): Watched {
  const { env, base } = ground;
  const nonce = freshName(env);
  const startedAt = env.now();
  const at = (): number => env.now() - startedAt;
  const echoes: (EchoSeen & { id: string; cameMs?: number })[] = [];
  let seen: LinkSeen = { present: true, bytes: 0, foreign: false, echoes };
  let via: string | undefined;
  let settle: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    settle = resolve;
  });
  let timer: unknown;
  const step = (): void => {
    env.clearTimeout(timer);
    timer = env.setTimeout(settle, stepMs);
  };
  const note = (part: Partial<LinkSeen>): void => {
    seen = { ...seen, ...part };
  };
  const sink: Sink = {
    opened(status) {
      note({ openMs: at(), status });
      step();
    },
    bytes(count) {
      note({ bytes: seen.bytes + count, byteMs: seen.byteMs ?? at() });
    },
    frame(frame) {
      if (!frame || (frame.l === "hello" && frame.nonce !== nonce)) note({ foreign: true });
      else if (frame.l === "echo") {
        const { id } = frame;
        const echo = echoes.find((echo) => echo.id === id);
        if (echo) echo.cameMs ??= at();
      } else if (frame.l === "hello") {
        via = frame.via;
        note({ helloMs: at() });
        settle();
      }
    },
    ended() {
      note({ endedMs: at() });
      settle();
    },
  };
  const url = addressOf(base, nonce, kind);
  const connection =
    kind === "ws"
      ? openWebSocket(env, url, first, {
          opened: sink.opened,
          ended: sink.ended,
          frame(frame, chars) {
            sink.bytes(chars);
            sink.frame(frame);
          },
        })
      : stream(env, url, first, sink);
  if (!connection) {
    note({ present: false });
    settle();
  }
  step();
  ground.signal.addEventListener("abort", settle);
  return {
    seen: () => ({ ...seen, echoes: echoes.map(({ sentMs, cameMs }) => ({ sentMs, cameMs })) }),
    via: () => via,
    ready,
    send: (frame) => connection?.send?.(frame),
    asks: (id) => void echoes.push({ id, sentMs: at() }),
    close() {
      env.clearTimeout(timer);
      ground.signal.removeEventListener("abort", settle);
      connection?.close();
    },
  };
}

function stream(env: Env, url: string, first: FrameUp, sink: Sink): Connection {
  const control = new AbortController();
  const { signal } = control;
  const body = new URLSearchParams(encodeBody([first]));
  const read = async (): Promise<void> => {
    const response = await env.fetch?.(url, { method: "POST", body, cache: "no-store", signal });
    sink.opened(response?.status);
    const reader = response?.body?.getReader();
    const decoder = new TextDecoder();
    const lines = lineReader();
    for (let over = !reader; !over; ) {
      const { done = true, value } = (await reader?.read()) ?? {};
      over = done;
      if (value) sink.bytes(value.length);
      const text = done ? "\n" : decoder.decode(value, { stream: true });
      for (const line of lines(text)) if (FRAME.test(line)) sink.frame(parseFrame(line));
    }
  };
  const ended = (): void => {
    if (!signal.aborted) sink.ended();
  };
  read().then(ended, ended);
  return { close: () => control.abort() };
}
