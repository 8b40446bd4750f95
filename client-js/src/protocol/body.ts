/**
 * The body of a request: `d=<base64url of the JSON>` as `application/x-www-form-urlencoded`.
 * It needs no CORS preflight, and web application firewalls do not read it (PROTOCOL.md section 4).
 */
import type { FrameUp } from "./frames.ts";

/** The content type that goes with {@link encodeBody}. */
export const FORM = "application/x-www-form-urlencoded";

/** Bytes that `String.fromCharCode` is given at once: engines bound the number of arguments. */
const CHUNK_BYTES = 8192;

/** Base64url without padding (RFC 4648 section 5) of the UTF-8 of a text. */
export function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES));
  }
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** A request's body with these frames. */
export function encodeBody(frames: readonly FrameUp[]): string {
  return `d=${base64url(JSON.stringify(frames))}`;
}
