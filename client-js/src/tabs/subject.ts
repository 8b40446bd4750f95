/** Who a tab is: only tabs of the same subject share. Nothing is verified here; the gateway does that. */

/** The `sub` of a token (RFC 7519), if it is one that has it. */
export function subjectOf(token: string | undefined): string | undefined {
  try {
    const base64 = `${token}`.split(".")[1] ?? "";
    const claims = JSON.parse(
      decodeURIComponent(escape(atob(base64.replace(/-/g, "+").replace(/_/g, "/")))),
    );
    return typeof claims.sub === "string" ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}
