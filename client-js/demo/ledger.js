// Counts what an end was handed, and judges it by position: within one channel, offsets go up by one.
// A jump that no gap announced is a loss; an offset at or below the last one is a repeat.

/** Reads a position, `epoch.offset.tag`. Null for anything else. */
export function parsePosition(text) {
  const parts = String(text ?? "").split(".");
  const offset = Number(parts[1]);
  return parts.length === 3 && Number.isSafeInteger(offset) ? { epoch: parts[0], offset } : null;
}

/** The counters of one end, over all of its rooms. */
export class Ledger {
  received = 0;
  gaps = 0;
  lost = 0;
  repeated = 0;
  #last = new Map();

  /** An event was handed over. */
  event(channel, position) {
    this.received += 1;
    const at = parsePosition(position);
    if (!at) return;
    const last = this.#last.get(channel);
    if (last && last.epoch === at.epoch && at.offset <= last.offset) {
      this.repeated += 1;
      return;
    }
    if (last && at.offset > last.offset + 1) this.lost += at.offset - last.offset - 1;
    this.#last.set(channel, at);
  }

  /** The gateway admitted a gap: events up to `position` are missing. */
  gap(channel, position) {
    this.gaps += 1;
    const at = parsePosition(position);
    if (at) this.#last.set(channel, at);
    else this.#last.delete(channel);
  }

  /** The reader left the channel: where it enters again is no loss. */
  left(channel) {
    this.#last.delete(channel);
  }
}
