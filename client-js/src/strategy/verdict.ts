/**
 * What is known of this network from earlier pages and other tabs, in the local storage. It expires, ends
 * with a change of network, and holds against a transport only what was seen twice.
 */
import type { Transport } from "../api.ts";
import { attempt } from "../attempt.ts";
import type { Env } from "../env.ts";
import type { Verdict } from "../session/stored.ts";

/** Milliseconds after which nothing of it is believed. */
const EXPIRES_MS = 24 * 3_600_000;
/** Milliseconds that two failures are apart at least before they count against a transport. */
const APART_MS = 5000;

export interface Verdicts {
  /** What is known now. */
  known(): Verdict;
  /** A transport was proven, or polls are held for so long. */
  learn(what: Pick<Partial<Verdict>, "best" | "holdMs" | "rttMs" | "fills">): void;
  /** A transport failed beside a working exchange. */
  blame(transport: Transport): void;
  /** Whether it failed twice. */
  isBad(transport: Transport): boolean;
  /** The network is another. */
  reset(): void;
}

/** @param base the gateway's path: another gateway has a verdict of its own. */
export function createVerdicts(env: Env, base: string): Verdicts {
  const key = `throughline:${base}:network`;
  /** What is known where there is no storage. */
  let noted = "";

  const write = (verdict: Verdict): void => {
    noted = JSON.stringify({ ...verdict, at: env.now() });
    attempt(() => env.lasting?.setItem(key, noted));
  };

  const verdicts: Verdicts = {
    known() {
      // The storage may be full, denied, or have somebody else's text.
      const text = attempt(() => env.lasting?.getItem(key)) ?? noted;
      const verdict = attempt((): Verdict => JSON.parse(text));
      const holds = verdict?.failed && Math.abs(env.now() - verdict.at) < EXPIRES_MS;
      return holds ? verdict : { at: 0, failed: {} };
    },
    learn(what) {
      const verdict = verdicts.known();
      if (what.best) delete verdict.failed[what.best];
      write({ ...verdict, ...what });
    },
    blame(transport) {
      const verdict = verdicts.known();
      const now = env.now();
      verdict.failed[transport] = [verdict.failed[transport]?.[0] ?? now, now];
      if (verdict.best === transport) verdict.best = undefined;
      write(verdict);
    },
    isBad(transport) {
      const [first = 0, last = 0] = verdicts.known().failed[transport] ?? [];
      return last - first >= APART_MS;
    },
    reset() {
      noted = "";
      attempt(() => env.lasting?.removeItem(key));
    },
  };
  return verdicts;
}
