/** What the observations mean: the signatures of proxies, firewalls and portals. Pure. */
import { exchangeFact, linkFacts, ms } from "./facts.ts";
import { AT_ONCE_MS, isProven, streamFinding, webSocketFinding } from "./links.ts";
import { type ExchangeSeen, LARGE_BYTES, type Observed } from "./observed.ts";

/** The names of what a network can do. */
export type FindingCode =
  | "captive_portal"
  | "proxy_credentials"
  | "unreachable"
  | "no_answer"
  | "origin_refused"
  | "token_needed"
  | "gateway_refuses"
  | "get_only"
  | "slow_network"
  | "websocket_absent"
  | "websocket_refused"
  | "websocket_hung"
  | "websocket_swallowed"
  | "websocket_cut"
  | "stream_absent"
  | "stream_refused"
  | "stream_stored"
  | "stream_trickled"
  | "stream_one_late"
  | "stream_bursts"
  | "stream_delayed"
  | "stream_cut"
  | "stream_by_type"
  | "poll_cut"
  | "body_limit"
  | "body_inspected"
  | "preflight_refused";

export interface Finding {
  readonly code: FindingCode;
  /** `blocks`: nothing comes through. `limits`: a worse transport is used. `note`: the client copes unseen. */
  readonly weight: "blocks" | "limits" | "note";
  /** What was seen, one fact a line. */
  readonly evidence: readonly string[];
}

/** The best transport that comes through, or nothing. */
export type Verdict = "websocket" | "stream" | "sse" | "poll" | null;

const WEIGHTS: readonly Finding["weight"][] = ["blocks", "limits", "note"];
/** A round trip above this makes everything slow. */
const SLOW_MS = 500;

/** Whether the gateway itself answered. */
const answered = (seen: ExchangeSeen | undefined): boolean =>
  seen?.result === "ok" || seen?.result === "refused";

/** What comes through, best first. */
export function verdict(seen: Observed): Verdict {
  if (isProven(seen.websocket)) return "websocket";
  if (isProven(seen.stream)) return "stream";
  if (isProven(seen.sse)) return "sse";
  return seen.open.result === "ok" ? "poll" : null;
}

function blockedBy(seen: Observed): FindingCode {
  const { open, websocket } = seen;
  if (open.result === "refused") {
    if (open.code === "bad_origin") return "origin_refused";
    return /^(unauthorized|token_expired)$/.test(`${open.code}`)
      ? "token_needed"
      : "gateway_refuses";
  }
  if (answered(seen.get) || isProven(websocket)) return "get_only";
  if (open.result === "foreign") return "captive_portal";
  // A browser that has to ask for a name and a password waits for its user; a WebSocket fails at once.
  if (open.result === "hung") {
    return (websocket.endedMs ?? Infinity) < AT_ONCE_MS ? "proxy_credentials" : "no_answer";
  }
  // Something answers there, but a page of another origin may not read what.
  return seen.anything?.result === "ok" ? "captive_portal" : "unreachable";
}

/** Why no exchange comes through. */
function blocked(seen: Observed): Finding {
  const { open, get, anything, websocket } = seen;
  const evidence = [
    exchangeFact("POST", open),
    ...(get ? [exchangeFact("GET", get)] : []),
    ...(anything ? [exchangeFact("A request whose answer is not read", anything)] : []),
    ...linkFacts("WebSocket", websocket),
  ];
  return { code: blockedBy(seen), weight: isProven(websocket) ? "note" : "blocks", evidence };
}

function streamFindings(seen: Observed, roundTripMs: number): Finding[] {
  const stream = seen.stream && streamFinding("Stream", seen.stream, roundTripMs);
  const sse = seen.sse && streamFinding("Event stream", seen.sse, roundTripMs);
  const worst = stream?.weight === "limits" ? stream : sse;
  if (!worst) return stream ? [stream] : [];
  const evidence = [...(stream?.evidence ?? []), ...(sse?.evidence ?? [])];
  // Where one of the two kinds works, it is the type of an answer that decides.
  const one = isProven(seen.stream) !== isProven(seen.sse) && seen.stream && seen.sse;
  if (one && worst.weight === "limits")
    return [{ code: "stream_by_type", weight: "note", evidence }];
  return [{ ...worst, evidence }];
}

function requestFindings(seen: Observed): Finding[] {
  const { poll, bodies, warm, holdMs } = seen;
  const found: Finding[] = [];
  const note = (code: FindingCode, what: string, why: ExchangeSeen): void => {
    found.push({ code, weight: "note", evidence: [exchangeFact(what, why)] });
  };
  if (warm && warm.ms > SLOW_MS) note("slow_network", "A request on a warm connection", warm);
  if (poll && !answered(poll)) note("poll_cut", `A request that is held for ${ms(holdMs)}`, poll);
  if (!bodies) return found;
  const { large, text, json } = bodies;
  if (!answered(large)) note("body_limit", `A request of ${LARGE_BYTES} bytes`, large);
  if (!answered(text)) note("body_inspected", "A request of type text/plain", text);
  // Only across origins it needs a preflight (WHATWG Fetch, "CORS-preflight fetch").
  const code = seen.sameOrigin ? "body_inspected" : "preflight_refused";
  if (!answered(json)) note(code, "A request of type application/json", json);
  return found;
}

/** What the network does, the worst first. Empty where everything comes through as it should. */
export function findings(seen: Observed): Finding[] {
  if (seen.open.result !== "ok") return [blocked(seen)];
  const best = verdict(seen);
  const webSocket = webSocketFinding(seen.websocket);
  const found = [
    ...(webSocket ? [webSocket] : []),
    ...streamFindings(seen, seen.warm?.ms ?? seen.open.ms),
    ...requestFindings(seen),
  ];
  // Where the best transport works, what is wrong with the others limits nothing.
  return found
    .map((finding) => (best === "websocket" ? { ...finding, weight: "note" as const } : finding))
    .sort((one, other) => WEIGHTS.indexOf(one.weight) - WEIGHTS.indexOf(other.weight));
}
