/** A WebSocket: one frame a text message (WHATWG WebSockets; PROTOCOL.md section 4). */
import type { Env } from "../env.ts";
import { refusal } from "../errors.ts";
import { parseFrame } from "../protocol/frames.ts";
import type { Connection, Listener } from "./candidate.ts";

/** Opens one; `undefined` where this page has none to open. */
export function openWebSocket(env: Env, url: string, listener: Listener): Connection | undefined {
  let socket: InstanceType<NonNullable<Env["WebSocket"]>>;
  try {
    if (!env.WebSocket) return undefined;
    socket = new env.WebSocket(url);
  } catch {
    // A page served over https may not open ws: (WHATWG WebSockets, "The WebSocket() constructor").
    return undefined;
  }
  let over = false;
  socket.onopen = () => {
    if (!over) listener.opened();
  };
  socket.onmessage = ({ data }) => {
    const frame = typeof data === "string" ? parseFrame(data) : undefined;
    if (frame && !over) listener.frame(frame, (data as string).length);
  };
  socket.onclose = ({ code, reason }) => {
    if (over) return;
    over = true;
    // The server's own codes are above 4000, with their word as the reason (PROTOCOL.md section 8).
    listener.ended(code >= 4000 ? refusal(String(reason), "the gateway ended it") : undefined);
  };
  // A close always follows. Without a listener some implementations raise the error instead.
  socket.onerror = () => undefined;
  return {
    send: (frame) => {
      try {
        socket.send(JSON.stringify(frame));
      } catch {
        // It is closing: what was not sent is sent again over the next link.
      }
    },
    close: () => {
      over = true;
      socket.close();
    },
  };
}
