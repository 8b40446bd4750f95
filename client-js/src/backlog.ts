/** A bounded queue between events that come when they come and a `for await` that takes them. */

import type { Off } from "./emitter.ts";

/** Events that wait at most, of one channel or one iterator. */
export const BACKLOG_EVENTS_MAX = 1000;

export interface Backlog<Item> extends AsyncIterableIterator<Item> {
  /** Position of what was taken last; at first where the iterator began. */
  at: string | undefined;
  /** Whether something waits. */
  waits(): boolean;
  push(item: Item): void;
  /** Nothing more comes; what waits is still taken. */
  end(): void;
}

/**
 * A backlog of the events from here on, which is one of `all` until whoever iterates has had enough.
 * @param source of the events.
 * @param overflow told the last of the items that were dropped, all at once, because nobody took them.
 * @param at where the iterator begins.
 */
export function createBacklog<Item extends { position: string }>(
  all: Set<Backlog<Item>>,
  source: { on(kind: "event", listener: (item: Item) => void): Off },
  overflow: (last: Item) => void,
  at?: string,
): Backlog<Item> {
  let items: Item[] = [];
  let ended = false;
  const takers: ((result: IteratorResult<Item, undefined>) => void)[] = [];
  const give = (): void => {
    while (takers.length && (ended || items.length)) {
      const item = items.shift();
      backlog.at = item?.position;
      takers.shift()?.({ value: item, done: !item } as IteratorResult<Item, undefined>);
    }
  };
  const backlog: Backlog<Item> = {
    at,
    waits: () => !!items.length,
    push(item) {
      const last = items[BACKLOG_EVENTS_MAX - 1];
      if (last) {
        items = [];
        overflow(last);
      }
      items.push(item);
      give();
    },
    end() {
      ended = true;
      give();
    },
    next: () =>
      new Promise((resolve) => {
        takers.push(resolve);
        give();
      }),
    return() {
      items = [];
      backlog.end();
      off();
      all.delete(backlog);
      return backlog.next();
    },
    [Symbol.asyncIterator]: () => backlog,
  };
  const off = source.on("event", backlog.push);
  all.add(backlog);
  return backlog;
}
