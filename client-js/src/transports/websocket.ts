/** A WebSocket: one frame a text message (WHATWG WebSockets; PROTOCOL.md section 4). */
import { attempt } from "../attempt.ts";
import type { Env } from "../env.ts";
import { CLOSED } from "../errors.ts";
import { type FrameUp, parseFrame } from "../protocol/frames.ts";
import type { Connection, Listener } from "./connection.ts";

/** Opens one with a frame; `undefined` where this page has none to open. */
export function openWebSocket(
  env: Env,
  url: string,
  first: FrameUp,
  listener: Listener,
): Connection | undefined {
  // There may be none, and a page served over https may not open ws: (WHATWG WebSockets, "The WebSocket() constructor").
  return attempt(() => {
    const socket = new (env.WebSocket as NonNullable<Env["WebSocket"]>)(url);
    // What is sent while it closes is dropped, and sent again over the next link.
    const send = (frame: FrameUp): void => socket.send(JSON.stringify(frame));
    socket.onopen = () => {
      listener.opened();
      send(first);
    };
    socket.onmessage = ({ data }) => {
      const frame = parseFrame(data);
      if (frame) listener.frame(frame, (data as string).length);
    };
    // The server's own codes are above 4000, with their word as the reason (PROTOCOL.md section 8).
    socket.onclose = ({ code, reason }) =>
      listener.ended(code >= 4000 ? { ...CLOSED, code: reason } : undefined);
    // A close always follows. Without a listener some implementations raise the error instead.
    socket.onerror = () => undefined;
    return {
      send,
      close() {
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      },
    };
  });
}
