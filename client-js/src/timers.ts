/** Timers that end together: what is over leaves none behind, and nothing that waits for one. */
import type { Env } from "./env.ts";

export interface Timed extends Env {
  /** Does at once what is due later. From here on no timer is set. */
  stop(): void;
}

/** The surroundings with such timers. */
export function timed(page: Env): Timed {
  /** The page's timers by what they call. */
  const all = new Map<() => void, unknown>();
  let over = false;
  // Inherited, not copied: a page that may not look at its storage must not look here.
  const env: Timed = Object.assign(Object.create(page), {
    setTimeout(call: () => void, delayMs: number) {
      const fire = (): void => {
        env.clearTimeout(fire);
        call();
      };
      if (!over) all.set(fire, page.setTimeout(fire, delayMs));
      return fire;
    },
    clearTimeout(fire: () => void) {
      page.clearTimeout(all.get(fire));
      all.delete(fire);
    },
    stop() {
      over = true;
      for (const fire of all.keys()) fire();
    },
  });
  return env;
}
