/** Incremental readers of streams. `feed(chunk)` answers the frames' texts that the chunk completed. */

/** Reads a stream of text in chunks cut anywhere. */
export interface Parser {
  feed(chunk: string): string[];
}

/** Characters of one unfinished frame at most; a stream that goes beyond is not one of ours. */
export const PENDING_CHARS_MAX: number = 4 << 20;

/** Raised by a parser whose unfinished frame is too long. The stream is of no use after it. */
export class OverlongFrame extends Error {}

/**
 * One frame a line, ended by a line feed (PROTOCOL.md section 4).
 * @throws {OverlongFrame} from `feed` above {@link PENDING_CHARS_MAX}.
 */
export function lineParser(): Parser {
  let pending = "";
  return {
    feed(chunk) {
      // Joined only where a line ends: a trickled frame would be copied once a byte.
      const lines = chunk.includes("\n") ? (pending + chunk).split("\n") : [pending + chunk];
      pending = lines.pop() ?? "";
      if (pending.length > PENDING_CHARS_MAX) throw new OverlongFrame();
      return lines.filter((line) => line !== "");
    },
  };
}

/**
 * Server-Sent Events (WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream"):
 * the `data` of each event. Names, ids and retry times are not used by a link.
 * @throws {OverlongFrame} from `feed` above {@link PENDING_CHARS_MAX}.
 */
export function sseParser(): Parser {
  let pending = "";
  let data: string[] = [];
  let size = 0;

  function line(text: string, events: string[]): void {
    if (text === "") {
      if (data.length > 0) events.push(data.join("\n"));
      data = [];
      size = 0;
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(text) ?? [];
    if (name === "data" && value !== undefined) {
      size += value.length;
      data.push(value);
    }
  }

  return {
    feed(chunk) {
      const events: string[] = [];
      const text = pending + chunk;
      // A CR at the end may be half of a CR LF: it waits for what follows it.
      const complete = /\r$/.test(text) ? text.slice(0, -1) : text;
      const lines = complete.split(/\r\n|\r|\n/);
      pending = (lines.pop() ?? "") + text.slice(complete.length);
      for (const text of lines) line(text, events);
      if (pending.length + size > PENDING_CHARS_MAX) throw new OverlongFrame();
      return events;
    },
  };
}
