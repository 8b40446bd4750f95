/** A stream: frames down as the body of one answer that does not end (PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { type FrameUp, parseFrame } from "../protocol/frames.ts";
import { lineParser, type Parser, sseParser } from "../protocol/lines.ts";
import type { Connection, Listener } from "./candidate.ts";
import { parseAnswer, post } from "./exchange.ts";

/**
 * Opens a stream with one frame; `undefined` where this page cannot. A stream has no way up of its own.
 * `fetch` streams both kinds: `EventSource` cannot POST, hides refusals, and stops for good at a wrong type.
 */
export function openStream(
  env: Env,
  url: string,
  kind: "stream" | "sse",
  first: FrameUp,
  listener: Listener,
): Connection | undefined {
  const { fetch } = env;
  if (!fetch) return undefined;
  const control = new AbortController();
  const read = async (): Promise<void> => {
    const response = await fetch(url, post([first], control.signal));
    if (!response.ok) {
      const [refused] = parseAnswer(await response.text())?.frames ?? [];
      if (refused) listener.frame(refused, 0);
      return;
    }
    const reader = response.body?.getReader?.();
    if (!reader) return;
    const decoder = new TextDecoder();
    const parser: Parser = kind === "sse" ? sseParser() : lineParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || control.signal.aborted) return;
      for (const text of parser.feed(decoder.decode(value, { stream: true }))) {
        const frame = parseFrame(text);
        if (frame && !control.signal.aborted) listener.frame(frame, text.length);
      }
    }
  };
  const ended = (): void => {
    if (!control.signal.aborted) {
      control.abort();
      listener.ended(undefined);
    }
  };
  read().then(ended, ended);
  return { send: undefined, close: () => control.abort() };
}
