/** Where the requests go: `<base>/<nonce>/<kind>` (PROTOCOL.md section 4). */

/** The absolute address of the gateway's path, without a slash at its end. */
export function resolveBase(url: string, base: string | undefined): string {
  const { origin, pathname } = new URL(url, base);
  return origin + pathname.replace(/\/+$/, "");
}

/** The address of one request. The nonce goes into the path, because caches exist that ignore the query. */
export function addressOf(base: string, nonce: string, kind: "ws" | "s" | "e" | "x"): string {
  const http = kind === "ws" ? base.replace(/^http/, "ws") : base;
  return `${http}/${nonce}/${kind}`;
}
