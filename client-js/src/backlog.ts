/** A bounded queue between events that come when they come and a `for await` that takes them. */

/** Events that wait at most, of one channel or one iterator. */
export const BACKLOG_EVENTS_MAX = 1000;

export class Backlog<Item> implements AsyncIterableIterator<Item> {
  /** What was taken last. */
  last: Item | undefined;
  private items: Item[] = [];
  private waiting: ((result: IteratorResult<Item, undefined>) => void)[] = [];
  private ended = false;
  private readonly overflow: (last: Item) => void;
  private readonly stop: () => void;

  /**
   * @param overflow told the last of the items that were dropped, all at once, because nobody took them.
   * @param stop called when whoever iterates has had enough.
   */
  constructor(overflow: (last: Item) => void, stop: () => void) {
    this.overflow = overflow;
    this.stop = stop;
  }

  get size(): number {
    return this.items.length;
  }

  push(item: Item): void {
    const taker = this.waiting.shift();
    if (taker) {
      this.last = item;
      taker({ value: item, done: false });
      return;
    }
    const last = this.items[BACKLOG_EVENTS_MAX - 1];
    if (last !== undefined) {
      this.items = [];
      this.overflow(last);
    }
    this.items.push(item);
  }

  /** Nothing more comes; what waits is still taken. */
  end(): void {
    this.ended = true;
    for (const taker of this.waiting.splice(0)) taker({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const value = this.items.shift();
    if (value !== undefined) {
      this.last = value;
      return Promise.resolve({ value, done: false });
    }
    if (this.ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => void this.waiting.push(resolve));
  }

  return(): Promise<IteratorResult<Item, undefined>> {
    this.items = [];
    this.end();
    this.stop();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
