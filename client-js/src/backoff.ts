/** Full-jitter backoff: clients that lost one server together do not come back together. */

/** Milliseconds of health after which the next loss counts as the first. */
export const HEALTHY_MS = 30_000;

/** Milliseconds that a retry hint of the gateway may ask for at most. */
export const RETRY_MS_MAX = 60_000;

/**
 * Milliseconds to wait before the next try.
 * @param attempt tries that failed before, from 0: the first retry is at once.
 * @param cap no wait is longer.
 * @param base the bound of the second wait; it doubles with each.
 * @param roll from 0 to below 1.
 */
export function backoff(attempt: number, cap: number, base: number, roll: number): number {
  return attempt && roll * Math.min(cap, base * 2 ** (attempt - 1));
}
