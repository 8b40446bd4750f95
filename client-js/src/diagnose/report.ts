/** A diagnosis as a text: what a help desk forwards to who runs the network. */
import type { Env } from "../env.ts";
import { exchangeFact, linkFacts, ms } from "./facts.ts";
import type { Finding, Verdict } from "./findings.ts";
import { LARGE_BYTES, type Observed } from "./observed.ts";
import type { Words } from "./words.ts";

interface Reported {
  readonly best: Verdict;
  readonly summary: string;
  readonly findings: readonly (Finding & Words)[];
  readonly observed: Observed;
}

const WEIGHTS: Record<Finding["weight"], string> = {
  blocks: "blocks the gateway",
  limits: "makes it slower",
  note: "for your information",
};

function measurements(seen: Observed): string[] {
  const { warm, get, anything, stream, sse, poll, bodies, holdMs } = seen;
  return [
    exchangeFact("First exchange", seen.open),
    ...(warm ? [exchangeFact("Second exchange", warm)] : []),
    ...(get ? [exchangeFact("GET", get)] : []),
    ...(anything ? [exchangeFact("Unread request", anything)] : []),
    ...linkFacts("WebSocket", seen.websocket),
    ...(stream ? linkFacts("Stream", stream) : []),
    ...(sse ? linkFacts("Event stream", sse) : []),
    ...(poll ? [exchangeFact(`Poll held for ${ms(holdMs)}`, poll)] : []),
    ...(bodies
      ? [
          exchangeFact(`Body of ${LARGE_BYTES} bytes`, bodies.large),
          exchangeFact("Body as text/plain", bodies.text),
          exchangeFact("Body as application/json", bodies.json),
        ]
      : []),
  ];
}

/** Everything in lines of text. */
export function report({ best, summary, findings, observed }: Reported, env: Env): string {
  const found = findings.flatMap(({ code, title, weight, evidence, advice }, at) => [
    "",
    `${at + 1}. ${title} (${code}; ${WEIGHTS[weight]})`,
    ...evidence.map((fact) => `   seen: ${fact}`),
    `   what helps: ${advice}`,
  ]);
  return [
    "Throughline network diagnosis",
    "",
    `Result:   ${summary}`,
    `Best:     ${best ?? "nothing"}`,
    `Gateway:  ${observed.url}`,
    `When:     ${new Date(env.now()).toISOString()}`,
    `Browser:  ${observed.agent}`,
    `Page:     ${observed.sameOrigin ? "of the gateway's origin" : "of another origin"}`,
    ...found,
    "",
    "Measured",
    ...measurements(observed).map((fact) => `   ${fact}`),
    "",
  ].join("\n");
}
