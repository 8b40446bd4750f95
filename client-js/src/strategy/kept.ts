/**
 * What a reload needs, in the session storage. The ticket is used only where the page said goodbye:
 * then the count is exact and nobody else goes on with the session. A page that crashed, or a tab
 * that was duplicated, opens a new session with the positions.
 */
import { attempt } from "../attempt.ts";
import type { Env, Store } from "../env.ts";
import type { Session } from "../session/session.ts";
import type { Stored } from "../session/stored.ts";
import { subscription } from "../session/subscriptions.ts";

/** Milliseconds between two writes. */
const WRITE_MS = 1000;

/** What the application was handed of what was counted, in one channel. */
export interface PageState {
  /** Up to where the events were. */
  readonly position: string | undefined;
  /** Whether something was not. */
  unread(): boolean;
}

export interface Keeper {
  /** The positions in the earlier page's durable channels, by name. */
  readonly positions: Map<string, string | undefined>;
  /** Reads what an earlier page left. Where its session goes on it has channels. */
  restore(): void;
  /** Something changed: it is written soon. */
  touch(): void;
  /** Writes it. `goodbye`: the page goes away, and the session may be resumed. */
  write(goodbye: boolean): void;
  /** Forgets everything: the session ended. */
  forget(): void;
}

/** @param key in the storage; where it is empty nothing is kept. */
export function createKeeper(
  env: Env,
  key: string,
  session: Session,
  page: ReadonlyMap<string, PageState>,
): Keeper {
  const { subs } = session;
  let timer: unknown;

  /** The storage may be full, denied, or somebody else's: then a reload opens a new session. */
  const store = (run: (storage: Store) => void): unknown =>
    attempt(() => key && env.storage && run(env.storage));

  const keeper: Keeper = {
    positions: new Map(),
    restore: () =>
      store((storage) => {
        const stored: Stored = JSON.parse(`${storage.getItem(key)}`);
        const { channels, ticket, hello, now } = stored;
        for (const { ch, since, durable } of channels) {
          if (!durable) continue;
          keeper.positions.set(ch, since);
          // The gateway joins every session of a user to it, so the page may never name it.
          if (ch.startsWith("@user:")) subs.set(ch, subscription(ch, since));
        }
        if (!ticket || env.now() - now >= (hello.window_ms as number)) return;
        session.restore(stored);
        for (const kept of channels)
          subs.set(kept.ch, { ...subscription(kept.ch, kept.since), ...kept, asked: true });
        keeper.write(false);
      }),
    touch() {
      timer ??= env.setTimeout(() => keeper.write(false), WRITE_MS);
    },
    write(goodbye) {
      env.clearTimeout(timer);
      timer = undefined;
      store((storage) => {
        const { ticket, link, count, hello } = session;
        const stored: Stored = {
          now: env.now(),
          ticket: goodbye && ![...page.values()].some((part) => part.unread()) ? ticket : undefined,
          link,
          count,
          hello,
          channels: [...subs.values()].map((sub) => ({
            ...sub,
            asked: undefined,
            last: undefined,
            since: page.get(sub.ch)?.position ?? sub.since,
          })),
        };
        storage.setItem(key, JSON.stringify(stored));
      });
    },
    forget() {
      env.clearTimeout(timer);
      // In the place of a timer it keeps what still comes from being written.
      timer = keeper;
      store((storage) => storage.removeItem(key));
    },
  };
  return keeper;
}
