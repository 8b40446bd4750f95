/**
 * What is known of this network from earlier pages and other tabs, in the local storage. It expires, ends
 * with a change of network, and holds against a transport only what was seen twice.
 */
import type { Transport } from "../api.ts";
import type { Env, Store } from "../env.ts";
import type { Verdict } from "../session/stored.ts";

/** Milliseconds after which nothing of it is believed. */
const EXPIRES_MS = 24 * 3_600_000;
/** Milliseconds that two failures are apart at least before they count against a transport. */
const APART_MS = 5000;

export interface Verdicts {
  /** What is known now. */
  read(): Verdict;
  /** A transport was proven, or polls are held for so long. */
  learn(what: Pick<Partial<Verdict>, "best" | "holdMs" | "rttMs" | "fills">): void;
  /** A transport failed beside a working exchange. */
  failed(transport: Transport): void;
  /** Whether it failed twice. */
  isBad(transport: Transport): boolean;
  /** The network is another. */
  reset(): void;
}

/** @param base the gateway's path: another gateway has a verdict of its own. */
export function createVerdicts(env: Env, base: string): Verdicts {
  const key = `throughline:${base}:network`;
  /** What is known where there is no storage. */
  let known = "";

  // The storage may be full, denied, or have somebody else's text.
  const attempt = <T>(run: (storage: Store) => T): T | undefined => {
    try {
      return env.lasting && run(env.lasting);
    } catch {
      return undefined;
    }
  };

  const write = (verdict: Verdict): void => {
    known = JSON.stringify({ ...verdict, at: env.now() });
    attempt((storage) => storage.setItem(key, known));
  };

  const verdicts: Verdicts = {
    read() {
      try {
        const verdict: Verdict = JSON.parse(attempt((storage) => storage.getItem(key)) ?? known);
        if (Math.abs(env.now() - verdict.at) < EXPIRES_MS && verdict.failed) return verdict;
      } catch {
        // Nothing is known.
      }
      return { at: 0, failed: {} };
    },
    learn(what) {
      const verdict = verdicts.read();
      if (what.best) delete verdict.failed[what.best];
      write({ ...verdict, ...what });
    },
    failed(transport) {
      const verdict = verdicts.read();
      const now = env.now();
      verdict.failed[transport] = [verdict.failed[transport]?.[0] ?? now, now];
      if (verdict.best === transport) verdict.best = undefined;
      write(verdict);
    },
    isBad(transport) {
      const [first = 0, last = 0] = verdicts.read().failed[transport] ?? [];
      return last - first >= APART_MS;
    },
    reset() {
      known = "";
      attempt((storage) => storage.removeItem(key));
    },
  };
  return verdicts;
}
