/** A stream: frames down as the body of one answer that does not end (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { type FrameUp, parseFrame } from "../protocol/frames.ts";
import { lineReader } from "../protocol/lines.ts";
import type { Connection, Listener } from "./connection.ts";
import { post } from "./exchange.ts";

/**
 * Opens a stream of either kind with one frame. It has no way up of its own.
 * `fetch` streams both: `EventSource` cannot POST, hides refusals, and stops for good at a wrong type.
 */
export function openStream(env: Env, url: string, first: FrameUp, listener: Listener): Connection {
  const control = new AbortController();
  const { signal } = control;
  const read = async (): Promise<void> => {
    const response = await post(env, url, [first], signal);
    if (!response?.ok) {
      // A refusal is one frame (M9); a proxy's own page is none.
      const refused = parseFrame(await response?.text());
      if (refused) listener.frame(refused, 0);
      return;
    }
    const reader = response.body?.getReader?.();
    const decoder = new TextDecoder();
    const lines = lineReader();
    while (reader) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const text of lines(decoder.decode(value, { stream: true }))) {
        const frame = parseFrame(text);
        if (frame && !signal.aborted) listener.frame(frame, text.length);
      }
    }
  };
  const ended = (): void => {
    if (signal.aborted) return;
    control.abort();
    listener.ended();
  };
  read().then(ended, ended);
  return { close: () => control.abort() };
}
