/** What a WebSocket's or a stream's course means. Pure. */
import { linkFacts } from "./facts.ts";
import type { Finding, FindingCode } from "./findings.ts";
import type { EchoSeen, LinkSeen } from "./observed.ts";

/** What ends sooner than this was ended by somebody. */
export const AT_ONCE_MS: number = 2000;
/** A message that takes longer than a round trip and this was held back. */
const HELD_MS = 1000;
/** What sets a message free is on its way for less than this. */
const FREED_MS = 600;
/** What HAProxy adds to each part of a streamed answer (its manual, `option http-no-delay`), nearly. */
const DELAYED_MS = 150;

/** Whether each message came just when the one after it did: that is what set it free. */
function isOneLate(echoes: readonly EchoSeen[]): boolean {
  const early = echoes.slice(0, -1);
  return (
    early.length > 0 &&
    early.every(({ cameMs = Infinity }, at) => {
      const nextMs = echoes[at + 1]?.sentMs ?? Infinity;
      return cameMs >= nextMs && cameMs < nextMs + FREED_MS;
    })
  );
}

function waits({ echoes }: LinkSeen): number[] {
  return echoes.flatMap(({ sentMs, cameMs }) => (cameMs === undefined ? [] : cameMs - sentMs));
}

/** Whether every message that was asked for came by itself, and nothing ended. */
export function isProven(seen: LinkSeen | undefined): boolean {
  if (!seen?.echoes.length || seen.endedMs !== undefined) return false;
  return waits(seen).length === seen.echoes.length && !isOneLate(seen.echoes);
}

/** What is wrong with WebSockets; nothing where they work. */
export function webSocketFinding(seen: LinkSeen): Finding | undefined {
  const { openMs, helloMs, endedMs } = seen;
  const code = (): FindingCode | undefined => {
    if (!seen.present) return "websocket_absent";
    if (openMs === undefined) return endedMs === undefined ? "websocket_hung" : "websocket_refused";
    if (isProven(seen)) return undefined;
    // Cut by somebody who saw what it is; where nothing came it was swallowed before.
    return helloMs !== undefined && endedMs !== undefined ? "websocket_cut" : "websocket_swallowed";
  };
  const found = code();
  return found && { code: found, weight: "limits", evidence: linkFacts("WebSocket", seen) };
}

/**
 * What is wrong with a kind of stream; nothing where it works.
 * @param roundTripMs of an exchange on a warm connection.
 */
export function streamFinding(
  name: string,
  seen: LinkSeen,
  roundTripMs: number,
): Finding | undefined {
  const waited = waits(seen);
  const heldMs = Math.max(...waited) - roundTripMs;
  const code = (): FindingCode | undefined => {
    if (!seen.present) return "stream_absent";
    if (seen.helloMs === undefined) {
      const refused = seen.foreign || seen.endedMs !== undefined;
      if (refused) return "stream_refused";
      return seen.byteMs === undefined ? "stream_stored" : "stream_trickled";
    }
    if (seen.endedMs !== undefined) return "stream_cut";
    if (isOneLate(seen.echoes)) return "stream_one_late";
    if (waited.length < seen.echoes.length) return "stream_stored";
    if (heldMs > HELD_MS) return "stream_bursts";
    return heldMs > DELAYED_MS ? "stream_delayed" : undefined;
  };
  const found = code();
  const weight = found === "stream_bursts" || found === "stream_delayed" ? "note" : "limits";
  return found && { code: found, weight, evidence: linkFacts(name, seen) };
}
