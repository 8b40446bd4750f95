/** An exchange: frames up in the body, frames down in one complete answer (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { encodeBody, FORM } from "../protocol/body.ts";
import { type FrameDown, type FrameUp, isObject, toFrame } from "../protocol/frames.ts";

/** What a POST of frames looks like: a simple request, which needs no CORS preflight. */
export function post(frames: readonly FrameUp[], signal: AbortSignal): RequestInit {
  return {
    method: "POST",
    body: encodeBody(frames),
    headers: { "content-type": FORM },
    // Otherwise a browser opens a connection of its own beside the page's.
    credentials: "same-origin",
    cache: "no-store",
    signal,
  };
}

/** A complete answer: its frames, and characters a frame on average. */
export interface Answer {
  frames: FrameDown[];
  chars: number;
}

/** One exchange under way. */
export interface Exchange {
  /** The answer, or `undefined` where none came that is a gateway's. Never rejects. */
  readonly answer: Promise<Answer | undefined>;
  abort(): void;
}

/** Sends the frames. An answer that is not complete within `timeoutMs` is none. */
export function exchange(
  env: Env,
  url: string,
  frames: readonly FrameUp[],
  timeoutMs: number,
): Exchange {
  const control = new AbortController();
  const abort = (): void => control.abort();
  const timer = env.setTimeout(abort, timeoutMs);
  const run = async (): Promise<Answer | undefined> => {
    try {
      // The code in the body decides, not the status: proxies change it (M9).
      const text = await (await env.fetch?.(url, post(frames, control.signal)))?.text();
      return text === undefined ? undefined : parseAnswer(text);
    } catch {
      return undefined;
    } finally {
      env.clearTimeout(timer);
    }
  };
  return { answer: run(), abort };
}

/** Reads an answer: an array of frames, or the one `error` of a refusal. */
export function parseAnswer(text: string): Answer | undefined {
  try {
    const json: unknown = JSON.parse(text);
    const values = Array.isArray(json)
      ? json
      : isObject(json) && json["l"] === "error"
        ? [json]
        : [];
    const frames = values.flatMap((value) => toFrame(value) ?? []);
    return frames.length > 0 ? { frames, chars: text.length / frames.length } : undefined;
  } catch {
    // A portal's or a proxy's own page.
    return undefined;
  }
}
