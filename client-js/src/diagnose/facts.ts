/** Observations in words, one fact a line. Pure. */
import type { ExchangeSeen, LinkSeen } from "./observed.ts";

/** Milliseconds between two messages that a probe asks for. */
export const EVERY_MS: number = 700;

const RESULTS: Record<ExchangeSeen["result"], string> = {
  ok: "answered",
  refused: "refused by the gateway",
  foreign: "answered by something else than the gateway",
  failed: "failed",
  hung: "not answered",
};

/** A time as it is shown. */
export const ms = (value: number): string => `${Math.round(value)} ms`;

/** How an exchange went. */
export function exchangeFact(what: string, seen: ExchangeSeen): string {
  const { result, code, status, type } = seen;
  const detail = [code, status && `status ${status}`, type].filter(Boolean).join(", ");
  const within = result === "hung" ? "within" : "after";
  return `${what}: ${RESULTS[result]} ${within} ${ms(seen.ms)}${detail && ` (${detail})`}`;
}

function after(what: string, never: string, atMs: number | undefined): string {
  return atMs === undefined ? never : `${what} after ${ms(atMs)}`;
}

/** How a WebSocket or a stream went. */
export function linkFacts(name: string, seen: LinkSeen): string[] {
  if (!seen.present) return [`${name}: this browser has none`];
  const { status, bytes, echoes, endedMs } = seen;
  const facts = [
    [
      `${name}: ${after("open", "never opened", seen.openMs)}${status ? ` (status ${status})` : ""}`,
      ...(seen.openMs === undefined
        ? []
        : [after(`first of ${bytes} bytes`, "no byte", seen.byteMs)]),
      ...(seen.byteMs === undefined ? [] : [after("first message", "no message", seen.helloMs)]),
      ...(endedMs === undefined ? [] : [`ended after ${ms(endedMs)}`]),
    ].join(", "),
  ];
  if (echoes.length) {
    const waited = echoes.map(({ sentMs, cameMs }) =>
      cameMs === undefined ? "never" : ms(cameMs - sentMs),
    );
    facts.push(`${name}: messages asked for each ${EVERY_MS} ms came after ${waited.join(", ")}`);
  }
  return facts;
}
