/** An exchange: frames up in the body, frames down in one complete answer (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { encodeBody } from "../protocol/body.ts";
import { type FrameDown, type FrameUp, toFrame } from "../protocol/frames.ts";

/** Posts frames as a simple request, which needs no CORS preflight. */
export async function post(
  env: Env,
  url: string,
  frames: readonly FrameUp[],
  signal: AbortSignal,
): Promise<Response | undefined> {
  return env.fetch?.(url, {
    method: "POST",
    body: new URLSearchParams(encodeBody(frames)),
    cache: "no-store",
    signal,
  });
}

/** Reads an answer: an array of frames, or the one `error` of a refusal. */
export function parseAnswer(text: string): FrameDown[] {
  try {
    return [JSON.parse(text)].flat().flatMap((value) => toFrame(value) ?? []);
  } catch {
    // A portal's or a proxy's own page.
    return [];
  }
}
