/**
 * Better transports: proved one at a time, best first, behind what carries the session. Tried soon
 * after a loss, then ever more rarely.
 */
import { HEALTHY_MS } from "../backoff.ts";
import type { Host } from "./host.ts";

/** Milliseconds before each of the first rounds: the first at once, the last for five minutes. */
const DELAYS_MS: readonly number[] = [0, 1000, 5000, 15_000];
const LAST_MS = 30_000;
const OFTEN_MS = 5 * 60_000;
/** Milliseconds between rounds after that. */
const RARELY_MS = 5 * 60_000;

export interface Climb {
  /** Sees to it that a round runs or is planned. */
  plan(): void;
  /** Runs a round, or joins the one that runs; true where nothing better is left. */
  now(): Promise<boolean>;
  /** A link that lived `livedMs` was lost: after a healthy life the rounds begin anew. */
  lost(livedMs: number): void;
  stop(): void;
}

export function createClimb(host: Host): Climb {
  const { env } = host;
  let rung = 0;
  let since = env.now();
  let timer: unknown;
  let running: Promise<boolean> | undefined;

  const isTop = (): boolean => (host.live?.transport ?? "poll") === host.allowed[0];

  const round = async (): Promise<boolean> => {
    const { allowed } = host;
    for (const transport of allowed) {
      if (host.over || !host.session.ticket) return true;
      if (host.live?.transport === transport) break;
      if (transport === "poll") host.live?.ended();
      if (transport === "poll" || !(await host.prove(transport))) break;
    }
    // The application changed its mind meanwhile.
    if (allowed !== host.allowed) return round();
    if (host.live && !host.may(host.live.transport)) host.live.ended();
    return isTop();
  };

  const climb: Climb = {
    plan() {
      if (timer || running || host.over || isTop()) return;
      const delayMs = DELAYS_MS[rung++] ?? LAST_MS;
      const often = env.now() - since < OFTEN_MS;
      if (delayMs === 0) void climb.now();
      else timer = env.setTimeout(() => void climb.now(), often ? delayMs : RARELY_MS);
    },
    now() {
      climb.stop();
      running ??= round().then((top) => {
        running = undefined;
        if (!top) climb.plan();
        return top;
      });
      return running;
    },
    lost(livedMs) {
      if (livedMs < HEALTHY_MS) return;
      rung = 1;
      since = env.now();
    },
    stop() {
      env.clearTimeout(timer);
      timer = undefined;
    },
  };
  return climb;
}
