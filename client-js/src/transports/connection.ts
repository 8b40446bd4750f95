/** A connection that can become a link. Adapters know bytes and frames, nothing of the session. */
import type { FrameDown, FrameUp, Refusal } from "../protocol/frames.ts";

/** Told what happens on a connection. After `ended` nothing more is told. */
export interface Listener {
  /** The way down is open: a WebSocket is, or the headers of a stream came. */
  opened(): void;
  /** One frame came. `chars`: the length of its text. */
  frame(frame: FrameDown, chars: number): void;
  /** The connection is over; `why` is known where the server said so. */
  ended(why?: Refusal): void;
}

export interface Connection {
  /** Sends one frame, where the connection has a way up. */
  send?(frame: FrameUp): void;
  /** Ends it without telling the listener. */
  close(): void;
}
