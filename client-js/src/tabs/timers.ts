/**
 * Timers that run in a hidden page, too. A browser lets those wait for up to a minute, and the tab that is
 * looked at would wait with it for a session that has to connect again. It asks whether the holder is
 * there, which runs what is due.
 */
import type { Env } from "../env.ts";
import { type Timed, timed } from "../timers.ts";

export interface Timers {
  /** The surroundings, with these timers. */
  readonly env: Timed;
  /** Runs what is due. */
  run(): void;
}

export function createTimers(surroundings: Env): Timers {
  const page = timed(surroundings);
  const all = new Set<{ at: number; fire(): void; timer: unknown }>();
  const env: Timed = Object.assign(Object.create(page), {
    setTimeout(call: () => void, ms: number) {
      const entry = {
        at: page.now() + ms,
        fire: () => void (all.delete(entry) && call()),
        timer: undefined as unknown,
      };
      all.add(entry);
      entry.timer = page.setTimeout(entry.fire, ms);
      return entry;
    },
    clearTimeout(entry: { timer: unknown } | undefined) {
      if (!entry || !all.delete(entry as never)) return;
      page.clearTimeout(entry.timer);
    },
  });
  return {
    env,
    run() {
      for (const { at, fire } of [...all]) if (at <= page.now()) fire();
    },
  };
}
