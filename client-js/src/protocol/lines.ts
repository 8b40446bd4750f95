/** The incremental reader of streams, of both kinds. */

/** Characters of one unfinished line at most; a stream that goes beyond is not one of ours. */
export const PENDING_CHARS_MAX: number = 4 << 20;

/**
 * Reads a stream of text in chunks cut anywhere: answers the lines that a chunk completed. A frame is one
 * line (PROTOCOL.md section 4), as it is or as the `data` of a Server-Sent Event (WHATWG HTML, "Parsing an
 * event stream"), which a gateway writes as one line too. Lines that are no frame are the caller's to skip.
 * @throws {RangeError} from the reader above {@link PENDING_CHARS_MAX}: the stream is of no use after it.
 */
export function lineReader(): (chunk: string) => string[] {
  let pending = "";
  return (chunk) => {
    // Looked through only where a line ends: a trickled frame would be copied once a byte.
    pending += chunk;
    const lines = chunk.includes("\n") ? pending.split("\n") : [pending];
    pending = lines.pop() ?? "";
    if (pending.length > PENDING_CHARS_MAX) throw new RangeError();
    return lines.map((line) => line.replace(/^data:/, ""));
  };
}
