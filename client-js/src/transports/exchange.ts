/** An exchange: frames up in the body, frames down in one complete answer (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { MORE } from "../parts.ts";
import { encodeBody } from "../protocol/body.ts";
import { type FrameDown, type FrameUp, toFrame } from "../protocol/frames.ts";

/** Posts frames as a simple request, which needs no CORS preflight; without any it is a GET. */
export async function request(
  env: Env,
  url: string,
  signal: AbortSignal,
  frames?: readonly FrameUp[],
): Promise<Response | undefined> {
  const form = (!MORE || frames) && {
    method: "POST",
    body: new URLSearchParams(encodeBody(frames as FrameUp[])),
  };
  return env.fetch?.(url, { ...form, cache: "no-store", signal });
}

/** A complete answer. */
export interface Answer {
  text: string;
  /** Whether its status says success. */
  ok: boolean;
}

/**
 * The complete answer; `undefined` where none came.
 * @param pending has the request's controller while it is under way.
 */
export async function exchange(
  env: Env,
  url: string,
  timeoutMs: number,
  pending: Set<AbortController>,
  frames?: readonly FrameUp[],
): Promise<Answer | undefined> {
  const control = new AbortController();
  pending.add(control);
  const timer = env.setTimeout(() => control.abort(), timeoutMs);
  // The code in the body decides, not the status: proxies change it (M9).
  const answer = await request(env, url, control.signal, frames)
    .then(async (response) => response && { text: await response.text(), ok: MORE && response.ok })
    .catch(() => undefined);
  env.clearTimeout(timer);
  pending.delete(control);
  return answer;
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
