/** An exchange: frames up in the body, frames down in one complete answer (PROTOCOL.md section 4). */
import { attempt } from "../attempt.ts";
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
): Promise<Response> {
  const form = (!MORE || frames) && {
    method: "POST",
    body: new URLSearchParams(encodeBody(frames as FrameUp[])),
  };
  // Where there is none it throws, as where nothing answers.
  return (env.fetch as typeof fetch)(url, { ...form, cache: "no-store", signal });
}

/** A complete answer; nothing of it where none came. */
export interface Answer {
  text: string;
  /** Whether its status says success. */
  ok: boolean;
}

/** Milliseconds that an answer may take once it has begun: 64 KiB through a line of 9 kbit/s. */
const BODY_MS = 60_000;

/**
 * The complete answer.
 * @param timeoutMs within which it has to begin.
 * @param pending has the request's controller until the answer begins.
 */
export async function exchange(
  env: Env,
  url: string,
  timeoutMs: number,
  pending: Set<AbortController>,
  frames?: readonly FrameUp[],
): Promise<Partial<Answer>> {
  const control = new AbortController();
  pending.add(control);
  const within = (ms: number): unknown => env.setTimeout(() => control.abort(), ms);
  let timer = within(timeoutMs);
  // The code in the body decides, not the status: proxies change it (M9).
  const answer = await request(env, url, control.signal, frames)
    .then(async (response) => {
      env.clearTimeout(timer);
      timer = within(BODY_MS);
      pending.delete(control);
      return { text: await response.text(), ok: MORE && response.ok };
    })
    .catch(() => ({}));
  env.clearTimeout(timer);
  pending.delete(control);
  return answer;
}

/** Reads an answer: an array of frames, or the one `error` of a refusal. */
export function parseAnswer(text: string): FrameDown[] {
  // Else it is a portal's or a proxy's own page.
  return attempt(() => [JSON.parse(text)].flat().flatMap((value) => toFrame(value) ?? [])) ?? [];
}
