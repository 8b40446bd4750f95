import { expect, test } from "vitest";
import { type FindingCode, findings, type Verdict, verdict } from "../src/diagnose/findings.ts";
import type { EchoSeen, ExchangeSeen, LinkSeen, Observed } from "../src/diagnose/observed.ts";
import { report } from "../src/diagnose/report.ts";
import { sentence, WORDS } from "../src/diagnose/words.ts";
import { createEnv } from "../src/env.ts";

const OK: ExchangeSeen = { result: "ok", ms: 20, status: 200, type: "application/json" };
const FAILED: ExchangeSeen = { result: "failed", ms: 30 };
const HUNG: ExchangeSeen = { result: "hung", ms: 8000 };
const FOREIGN: ExchangeSeen = { result: "foreign", ms: 15, status: 200, type: "text/html" };
const REFUSED: ExchangeSeen = { result: "refused", ms: 15, status: 403, code: "bad_origin" };

/** Messages asked for at 100, 800 and 1500, and when each came. */
const echoes = (...came: (number | undefined)[]): EchoSeen[] =>
  came.map((cameMs, at) => ({ sentMs: 100 + 700 * at, cameMs }));

const NOTHING: LinkSeen = { present: true, bytes: 0, foreign: false, echoes: [] };
const GOOD: LinkSeen = {
  ...NOTHING,
  openMs: 40,
  byteMs: 41,
  helloMs: 41,
  bytes: 300,
  echoes: echoes(120, 820, 1520),
};
const REFUSED_LINK: LinkSeen = { ...NOTHING, endedMs: 60 };
const STORED: LinkSeen = { ...NOTHING, openMs: undefined };

const CLEAN: Observed = {
  url: "https://gateway.example/realtime",
  agent: "a browser",
  sameOrigin: true,
  secure: true,
  open: OK,
  warm: OK,
  websocket: GOOD,
  stream: GOOD,
  sse: GOOD,
  poll: { ...OK, ms: 5010 },
  holdMs: 5000,
  bodies: { large: OK, text: OK, json: OK },
};

/** What is seen where no exchange comes through. */
const blocked = (part: Partial<Observed>): Observed => ({
  url: CLEAN.url,
  agent: CLEAN.agent,
  sameOrigin: false,
  secure: true,
  holdMs: 5000,
  open: FAILED,
  get: FAILED,
  anything: FAILED,
  websocket: REFUSED_LINK,
  ...part,
});

const SIGNATURES: [what: string, seen: Observed, best: Verdict, found: FindingCode[]][] = [
  ["a clean network", CLEAN, "websocket", []],
  [
    "a proxy that strips Upgrade",
    { ...CLEAN, websocket: REFUSED_LINK },
    "stream",
    ["websocket_refused"],
  ],
  ["a tarpit", { ...CLEAN, websocket: NOTHING }, "stream", ["websocket_hung"]],
  [
    "an antivirus that holds frames",
    { ...CLEAN, websocket: { ...NOTHING, openMs: 70 } },
    "stream",
    ["websocket_swallowed"],
  ],
  [
    "a filter that lets frames down only",
    { ...CLEAN, websocket: { ...GOOD, echoes: echoes(undefined, undefined, undefined) } },
    "stream",
    ["websocket_swallowed"],
  ],
  [
    "a firewall that resets what it sees",
    { ...CLEAN, websocket: { ...GOOD, echoes: echoes(120), endedMs: 130 } },
    "stream",
    ["websocket_cut"],
  ],
  [
    "a proxy that stores everything",
    { ...CLEAN, websocket: REFUSED_LINK, stream: STORED, sse: STORED },
    "poll",
    ["websocket_refused", "stream_stored"],
  ],
  [
    "an antivirus that trickles",
    {
      ...CLEAN,
      websocket: REFUSED_LINK,
      stream: { ...NOTHING, openMs: 90, byteMs: 900, bytes: 3 },
      sse: { ...NOTHING, openMs: 90, byteMs: 900, bytes: 3 },
    },
    "poll",
    ["websocket_refused", "stream_trickled"],
  ],
  [
    "a holder of the last part",
    {
      ...CLEAN,
      websocket: REFUSED_LINK,
      stream: { ...GOOD, echoes: echoes(810, 1510, undefined) },
      sse: { ...GOOD, echoes: echoes(810, 1510, undefined) },
    },
    "poll",
    ["websocket_refused", "stream_one_late"],
  ],
  [
    "a tunnel that streams events only",
    { ...CLEAN, websocket: REFUSED_LINK, stream: STORED },
    "sse",
    ["websocket_refused", "stream_by_type"],
  ],
  [
    "a scanner of text",
    { ...CLEAN, websocket: REFUSED_LINK, sse: STORED },
    "stream",
    ["websocket_refused", "stream_by_type"],
  ],
  [
    "a proxy that flushes by a clock",
    { ...CLEAN, stream: { ...GOOD, echoes: echoes(1500, 2900, 2900) }, sse: GOOD },
    "websocket",
    ["stream_bursts"],
  ],
  [
    "HAProxy without http-no-delay",
    {
      ...CLEAN,
      stream: { ...GOOD, echoes: echoes(330, 1030, 1730) },
      sse: { ...GOOD, echoes: echoes(330, 1030, 1730) },
    },
    "websocket",
    ["stream_delayed"],
  ],
  [
    "a limit of life time",
    {
      ...CLEAN,
      websocket: REFUSED_LINK,
      stream: { ...GOOD, endedMs: 1600 },
      sse: { ...GOOD, endedMs: 1600 },
      poll: { ...FAILED, ms: 4000 },
    },
    "poll",
    ["websocket_refused", "stream_cut", "poll_cut"],
  ],
  [
    "a firewall of applications across origins",
    { ...CLEAN, sameOrigin: false, bodies: { large: OK, text: FAILED, json: FAILED } },
    "websocket",
    ["body_inspected", "preflight_refused"],
  ],
  [
    "a limit of bodies",
    { ...CLEAN, bodies: { large: { ...FOREIGN, status: 413 }, text: OK, json: OK } },
    "websocket",
    ["body_limit"],
  ],
  ["a slow line", { ...CLEAN, warm: { ...OK, ms: 700 } }, "websocket", ["slow_network"]],
  [
    "a portal",
    blocked({ sameOrigin: true, open: FOREIGN, get: FOREIGN }),
    null,
    ["captive_portal"],
  ],
  ["a portal across origins", blocked({ anything: OK }), null, ["captive_portal"]],
  ["a proxy that wants a login", blocked({ open: HUNG, get: HUNG }), null, ["proxy_credentials"]],
  ["an untrusted certificate", blocked({}), null, ["unreachable"]],
  [
    "a firewall that drops",
    blocked({ open: HUNG, get: HUNG, anything: HUNG, websocket: NOTHING }),
    null,
    ["no_answer"],
  ],
  [
    "a firewall that lets only GET through",
    blocked({ get: OK, websocket: REFUSED_LINK }),
    null,
    ["get_only"],
  ],
  ["the same with WebSockets", blocked({ get: OK, websocket: GOOD }), "websocket", ["get_only"]],
  [
    "an origin that is not listed",
    blocked({ open: REFUSED, get: undefined }),
    null,
    ["origin_refused"],
  ],
  [
    "a gateway without anonymous access",
    blocked({ open: { ...REFUSED, code: "unauthorized", status: 401 }, get: undefined }),
    null,
    ["token_needed"],
  ],
  [
    "a gateway that drains",
    blocked({ open: { ...REFUSED, code: "draining", status: 503 }, get: undefined }),
    null,
    ["gateway_refuses"],
  ],
  [
    "a browser without WebSocket and streams",
    {
      ...CLEAN,
      websocket: { ...NOTHING, present: false },
      stream: { ...NOTHING, present: false },
      sse: { ...NOTHING, present: false },
    },
    "poll",
    ["websocket_absent", "stream_absent"],
  ],
];

test.each(SIGNATURES)("%s is recognised by what it does", (_, seen, best, found) => {
  expect(verdict(seen)).toBe(best);
  expect(findings(seen).map(({ code }) => code)).toEqual(found);
});

test("every signature of a network is recognised in some test", () => {
  const seen = new Set(SIGNATURES.flatMap(([, , , found]) => found));
  expect([...seen, "stream_refused"].sort()).toEqual(Object.keys(WORDS).sort());
});

test("an answer of somebody else in place of a stream is a refusal", () => {
  const page: LinkSeen = {
    ...NOTHING,
    openMs: 40,
    byteMs: 41,
    bytes: 900,
    foreign: true,
    endedMs: 42,
    status: 403,
  };
  const seen = { ...CLEAN, websocket: REFUSED_LINK, stream: page, sse: page };
  expect(findings(seen).map(({ code }) => code)).toEqual(["websocket_refused", "stream_refused"]);
});

test("what limits nothing is a note, and what blocks comes first", () => {
  expect(findings({ ...CLEAN, stream: STORED, sse: STORED })[0]?.weight).toBe("note");
  expect(findings({ ...CLEAN, websocket: NOTHING })[0]?.weight).toBe("limits");
  expect(findings(blocked({}))[0]?.weight).toBe("blocks");
});

test("the text names what was seen, what helps, and the browser", () => {
  const observed = { ...CLEAN, websocket: REFUSED_LINK };
  const found = findings(observed).map((finding) => ({ ...finding, ...WORDS[finding.code] }));
  const best = verdict(observed);
  const env = createEnv({ now: () => Date.UTC(2026, 0, 2) });
  const text = report({ best, summary: sentence(best, false), findings: found, observed }, env);
  expect(text).toContain("1. WebSockets are refused (websocket_refused; makes it slower)");
  expect(text).toContain("seen: WebSocket: never opened, ended after 60 ms");
  expect(text).toContain("Allow the Upgrade: websocket");
  expect(text).toContain("Browser:  a browser");
  expect(text).toContain("When:     2026-01-02T00:00:00.000Z");
});
