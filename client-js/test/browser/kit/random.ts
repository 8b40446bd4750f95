/** Dice that a failure can be repeated with: `SEED=7 npm run test:browser`. */

export interface Dice {
  readonly seed: number;
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number;
  pick<Item>(items: readonly [Item, ...Item[]]): Item;
}

/** Dice of `SEED`, or of a fresh seed; it is printed either way. */
export function dice(what: string): Dice {
  const given = process.env["SEED"];
  const seed = given ? Number(given) : Math.floor(Math.random() * 2 ** 32);
  console.log(`${what}: SEED=${seed}`);
  let state = seed;
  // mulberry32: enough for choosing moments.
  const roll = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    seed,
    between: (low, high) => low + Math.floor(roll() * (high - low + 1)),
    pick: (items) => items[Math.floor(roll() * items.length)] ?? items[0],
  };
}
