/**
 * The body of a request: `d=<base64url of the JSON>` as `application/x-www-form-urlencoded`.
 * It needs no CORS preflight, and web application firewalls do not read it (PROTOCOL.md section 4).
 */
import type { FrameUp } from "./frames.ts";

/** The UTF-8 of the text of some JSON, as a string of one character a byte. */
export function utf8(json: string): string {
  // Of ECMA-262's Annex B, which every browser has: it reads `%xx` as one character.
  return unescape(encodeURIComponent(json));
}

/** A request's body with these frames: base64url without padding (RFC 4648 section 5). */
export function encodeBody(frames: readonly FrameUp[]): string {
  const base64 = btoa(utf8(JSON.stringify(frames)));
  return `d=${base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}`;
}
