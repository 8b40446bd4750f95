/** An exchange: frames up in the body, frames down in one complete answer (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { encodeBody, FORM } from "../protocol/body.ts";
import { type FrameDown, type FrameUp, isObject, toFrame } from "../protocol/frames.ts";

/** Posts frames as a simple request, which needs no CORS preflight. */
export async function post(
  env: Env,
  url: string,
  frames: readonly FrameUp[],
  signal: AbortSignal,
): Promise<Response | undefined> {
  return env.fetch?.(url, {
    method: "POST",
    body: encodeBody(frames),
    headers: { "content-type": FORM },
    // Otherwise a browser opens a connection of its own beside the page's.
    credentials: "same-origin",
    cache: "no-store",
    signal,
  });
}

/** Reads an answer: an array of frames, or the one `error` of a refusal. */
export function parseAnswer(text: string): FrameDown[] | undefined {
  try {
    const json: unknown = JSON.parse(text);
    const values = isObject(json) && json["l"] === "error" ? [json] : (json as unknown[]);
    const frames = values.flatMap((value) => toFrame(value) ?? []);
    return frames.length > 0 ? frames : undefined;
  } catch {
    // A portal's or a proxy's own page.
    return undefined;
  }
}
