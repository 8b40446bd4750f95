/**
 * What a reload needs, in the session storage. The ticket is used only where the page said goodbye:
 * then the count is exact and nobody else goes on with the session. A page that crashed, or a tab
 * that was duplicated, opens a new session with the positions.
 */
import type { Env } from "../env.ts";
import { isObject } from "../protocol/frames.ts";
import type { Kept, Session } from "../session/session.ts";
import type { Subscription } from "../session/subscriptions.ts";

/** Milliseconds between two writes. */
const WRITE_MS = 1000;

/** One channel as it is kept. */
export type KeptChannel = Pick<Subscription, "ch" | "since" | "durable" | "state" | "presence">;

interface Stored {
  /** Milliseconds of the clock. */
  at: number;
  session?: Kept;
  channels: KeptChannel[];
}

/** What the application was handed of what was counted. */
export interface PageState {
  /** Whether something was not handed over. */
  unread(): boolean;
  /** Up to where the events of a channel were. */
  position(ch: string): string | undefined;
}

export class Keeper {
  private readonly env: Env;
  private readonly key: string;
  private readonly session: Session;
  private readonly page: PageState;
  private timer: unknown;
  /** What the earlier page had, by name: the positions, and in a resumed session the subscriptions. */
  readonly channels: Map<string, KeptChannel> = new Map<string, KeptChannel>();

  constructor(env: Env, key: string, session: Session, page: PageState) {
    this.env = env;
    this.key = key;
    this.session = session;
    this.page = page;
  }

  /** Reads what an earlier page left; true where its session goes on. */
  restore(): boolean {
    const stored = this.read();
    if (!stored) return false;
    for (const kept of stored.channels) {
      if (isObject(kept) && typeof kept.ch === "string") this.channels.set(kept.ch, kept);
    }
    const { session, at } = stored;
    if (!session?.ticket || this.env.now() - at >= (session.hello?.window_ms ?? 0)) return false;
    this.session.resume(session);
    for (const { ch, presence, since, durable, state } of this.channels.values()) {
      Object.assign(this.session.subs.add(ch, presence, since), { durable, state, asked: true });
    }
    this.write(false);
    return true;
  }

  private read(): Stored | undefined {
    try {
      const stored: unknown = JSON.parse(this.env.storage?.getItem(this.key) ?? "0");
      return isObject(stored) && Array.isArray(stored["channels"])
        ? (stored as unknown as Stored)
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** Something changed: it is written soon. */
  touch(): void {
    this.timer ??= this.env.setTimeout(() => this.write(false), WRITE_MS);
  }

  /** Writes it. `goodbye`: the page goes away, and the session may be resumed. */
  write(goodbye: boolean): void {
    this.env.clearTimeout(this.timer);
    this.timer = undefined;
    const { ticket, link, count, hello, subs } = this.session;
    const channels = subs.values().map((sub): KeptChannel => {
      const { ch, durable, state, presence } = sub;
      const since = this.page.position(ch) ?? sub.since;
      return { ch, since, durable, state, presence };
    });
    const resumable = goodbye && ticket !== undefined && !this.page.unread();
    const session = resumable ? { session: { ticket, link, count, hello } } : {};
    const stored: Stored = { at: this.env.now(), channels, ...session };
    this.put(JSON.stringify(stored));
  }

  private put(text: string | undefined): void {
    try {
      if (text === undefined) this.env.storage?.removeItem(this.key);
      else this.env.storage?.setItem(this.key, text);
    } catch {
      // The storage is full or denied: a reload then opens a new session.
    }
  }

  /** Forgets everything: the session ended. */
  clear(): void {
    this.env.clearTimeout(this.timer);
    this.timer = undefined;
    this.put(undefined);
  }
}
