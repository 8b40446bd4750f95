/**
 * What a reload needs, in the session storage. The ticket is used only where the page said goodbye:
 * then the count is exact and nobody else goes on with the session. A page that crashed, or a tab
 * that was duplicated, opens a new session with the positions.
 */
import type { Env } from "../env.ts";
import { isObject } from "../protocol/frames.ts";
import type { Kept, Session } from "../session/session.ts";
import { type Subscription, subscription } from "../session/subscriptions.ts";

/** Milliseconds between two writes. */
const WRITE_MS = 1000;

interface Stored extends Kept {
  /** Milliseconds of the clock. */
  now: number;
  channels: Subscription[];
}

/** What the application was handed of what was counted. */
export interface PageState {
  /** Whether something was not handed over. */
  unread(): boolean;
  /** Up to where the events of a channel were. */
  position(ch: string): string | undefined;
}

export interface Keeper {
  /** The positions in the earlier page's durable channels, by name. */
  readonly positions: Map<string, string | undefined>;
  /** Reads what an earlier page left; true where its session goes on. */
  restore(): boolean;
  /** Something changed: it is written soon. */
  touch(): void;
  /** Writes it. `goodbye`: the page goes away, and the session may be resumed. */
  write(goodbye: boolean): void;
  /** Forgets everything: the session ended. */
  clear(): void;
}

export function createKeeper(env: Env, key: string, session: Session, page: PageState): Keeper {
  let timer: unknown;

  /** Does something with the storage, which may be full or denied: then a reload opens a new session. */
  const attempt = <Result>(run: (storage: NonNullable<Env["storage"]>) => Result) => {
    try {
      return env.storage && run(env.storage);
    } catch {
      return undefined;
    }
  };

  const keeper: Keeper = {
    positions: new Map(),
    restore() {
      const stored = attempt<Partial<Stored>>((storage) => JSON.parse(storage.getItem(key) ?? "0"));
      if (!isObject(stored) || !Array.isArray(stored.channels)) return false;
      const channels = stored.channels.filter((kept) => typeof kept?.ch === "string");
      for (const { ch, since, durable } of channels) if (durable) keeper.positions.set(ch, since);
      const { ticket, hello, now = 0 } = stored;
      if (!ticket || !hello?.window_ms || env.now() - now >= hello.window_ms) return false;
      session.resume(stored as Stored);
      for (const kept of channels) {
        const { last } = subscription(kept.ch, false, kept.since);
        session.subs.set(kept.ch, { ...kept, last, asked: true });
      }
      keeper.write(false);
      return true;
    },
    touch() {
      timer ??= env.setTimeout(() => keeper.write(false), WRITE_MS);
    },
    write(goodbye) {
      env.clearTimeout(timer);
      timer = undefined;
      const { ticket, link, count, hello, subs } = session;
      const stored: Stored = {
        now: env.now(),
        ticket: goodbye && !page.unread() ? ticket : undefined,
        link,
        count,
        hello,
        channels: [...subs.values()].map((sub) => ({
          ...sub,
          since: page.position(sub.ch) ?? sub.since,
        })),
      };
      attempt((storage) => storage.setItem(key, JSON.stringify(stored)));
    },
    clear() {
      env.clearTimeout(timer);
      // In the place of a timer it keeps what still comes from being written.
      timer = keeper;
      attempt((storage) => storage.removeItem(key));
    },
  };
  return keeper;
}
