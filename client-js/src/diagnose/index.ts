/**
 * Says what a network does to a gateway's connections, with evidence, and what its administrator can do.
 * A module of its own: a page loads it only where it is asked for.
 */
import { createEnv, type Env } from "../env.ts";
import { resolveBase } from "../transports/address.ts";
import { type Finding, findings, type Verdict, verdict } from "./findings.ts";
import { look, type Step } from "./look.ts";
import type { Observed } from "./observed.ts";
import type { Ground } from "./probe.ts";
import { report } from "./report.ts";
import { sentence, WORDS, type Words } from "./words.ts";

export type { Finding, FindingCode, Verdict } from "./findings.ts";
export type { Step } from "./look.ts";
export type { EchoSeen, ExchangeSeen, LinkSeen, Observed } from "./observed.ts";

export interface DiagnoseOptions {
  /** Where the gateway admits nobody without one. It is sent in the body, as the client does. */
  token?: string | undefined;
  /** Milliseconds for which the gateway is asked to hold a poll, at most 30 000. Default: 5000. */
  holdMs?: number;
  /** Told what is looked at next. */
  onStep?: (step: Step) => void;
  /** Ends the diagnosis: what was not looked at is reported as not coming through. */
  signal?: AbortSignal;
  /** Other surroundings than the page's: for tests and other runtimes. */
  env?: Partial<Env>;
}

export interface Diagnosis {
  /** The best transport that comes through, or nothing. */
  readonly best: Verdict;
  /** The same in a sentence. */
  readonly summary: string;
  /** What the network does, the worst first, in words. */
  readonly findings: readonly (Finding & Words)[];
  /** What was seen. */
  readonly observed: Observed;
  /** Everything as a text to send to an administrator. No token, ticket or message is in it. */
  readonly text: string;
}

/**
 * Looks at the way to a gateway: about 15 s, longer where nothing answers. It opens one session, at most three
 * connections at a time, publishes nothing and joins nothing.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} (as a rejection) where the url cannot be resolved.
 */
export async function diagnose(url: string, options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const env = createEnv(options.env);
  const { token, holdMs = 5000, onStep, signal = new AbortController().signal } = options;
  const base = resolveBase(url, env.base);
  const ground: Ground = {
    env,
    base,
    signal,
    pause: (ms) => new Promise((resolve) => void env.setTimeout(resolve, ms)),
  };
  const origin = env.base && new URL(env.base).origin;
  const about = {
    url: base,
    agent: (globalThis as Partial<typeof globalThis>).navigator?.userAgent ?? "unknown",
    sameOrigin: new URL(base).origin === origin,
    secure: base.startsWith("https:"),
    holdMs,
  };
  const observed = { ...about, ...(await look(ground, token, holdMs, onStep)) };
  return judged(observed, env);
}

function judged(observed: Observed, env: Env): Diagnosis {
  const best = verdict(observed);
  const found = findings(observed).map((finding) => ({ ...finding, ...WORDS[finding.code] }));
  const summary = sentence(best, found.length === 0);
  const text = report({ best, summary, findings: found, observed }, env);
  return { best, summary, findings: found, observed, text };
}
