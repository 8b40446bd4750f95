/** A stream: frames down as the body of one answer that does not end (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { type FrameUp, parseFrame } from "../protocol/frames.ts";
import { lineReader } from "../protocol/lines.ts";
import type { Connection, Listener } from "./connection.ts";
import { request } from "./exchange.ts";

/**
 * Opens a stream of either kind with one frame. It has no way up of its own.
 * `fetch` streams both: `EventSource` cannot POST, hides refusals, and stops for good at a wrong type.
 */
export function openStream(env: Env, url: string, first: FrameUp, listener: Listener): Connection {
  const control = new AbortController();
  const { signal } = control;
  const read = async (): Promise<void> => {
    // Where there is nothing to read from it throws, which ends it.
    const { body } = await request(env, url, signal, [first]);
    if (!signal.aborted) listener.opened();
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    const lines = lineReader();
    for (let over = false; !over; ) {
      const { done, value } = await reader.read();
      over = done;
      // A refusal is one frame, whose line does not end (M9); a proxy's own page is none.
      for (const text of lines(done ? "\n" : decoder.decode(value, { stream: true }))) {
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
