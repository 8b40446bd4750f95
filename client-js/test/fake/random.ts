/** Dice that roll the same in each run. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2654435761) % 2147483647 || 1;
  }

  /** From 0 to below 1 (Park and Miller's minimal standard generator). */
  roll(): number {
    this.state = (this.state * 48271) % 2147483647;
    return this.state / 2147483647;
  }

  /** A whole number from 0 to below `bound`. */
  below(bound: number): number {
    return Math.floor(this.roll() * bound);
  }

  pick<const Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] ?? items[0];
  }
}

/** The text cut into pieces anywhere. */
export function cutAnywhere(text: string, random: Random): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = 1 + random.below(7);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}
