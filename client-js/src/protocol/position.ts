/** Positions, `epoch.offset.tag` (PROTOCOL.md section 3). */

import { MORE } from "../parts.ts";

export interface Position {
  epoch: string;
  /** Whole number, 0 to 2^53−1. */
  offset: number;
}

const FORM: RegExp = MORE ? /^([\w-]+)\.(0|[1-9]\d*)\.[\da-f]{16}$/ : /(.+)\.(.+)\./;

/** Reads a position; `undefined` where the text is none. The tag is proven by the server only. */
export function parsePosition(text: string | undefined): Position | undefined {
  const [, epoch, digits] = FORM.exec(`${text}`) ?? [];
  const offset = Number(digits);
  return epoch && Number.isSafeInteger(offset) ? { epoch, offset } : undefined;
}

/** Whether an event at `at` is news to a reader at `last`: any is under another epoch. */
export function isAfter(at: Position, last: Position | undefined): boolean {
  return last?.epoch !== at.epoch || at.offset > last.offset;
}
