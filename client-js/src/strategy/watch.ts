/** The timers of what carries the session: heartbeat, held publishes, silence. */
import type { Env } from "../env.ts";
import type { Session } from "../session/session.ts";
import type { Link } from "./link.ts";

/** Milliseconds within which a link has to answer when it is asked whether it still works. */
export const VERDICT_MS = 1500;
/** Milliseconds after which a link that was sent something and is silent is asked. */
const SILENCE_MS = 2000;

export class Watch {
  private readonly env: Env;
  private readonly session: Session;
  private heartbeat: unknown;
  private held: unknown;
  private silence: unknown;
  private heardAt = 0;
  private readonly kick: () => void;

  /** @param kick called when a held publish may go. */
  constructor(env: Env, session: Session, kick: () => void) {
    this.env = env;
    this.session = session;
    this.kick = kick;
  }

  /** Something came down. */
  heard(): void {
    this.heardAt = this.env.now();
  }

  /** Sets the timers by what the session waits for. */
  set(live: Link | undefined): void {
    const { env, session } = this;
    const now = env.now();
    env.clearTimeout(this.heartbeat);
    if (live && session.deadline < Number.POSITIVE_INFINITY) {
      this.heartbeat = env.setTimeout(() => live.ended(undefined), session.deadline - now);
    }
    env.clearTimeout(this.held);
    const at = session.uplink.wakeAt(now);
    if (at < Number.POSITIVE_INFINITY) this.held = env.setTimeout(this.kick, at - now);
  }

  /** Something was sent on the live link: it should not stay silent. */
  sent(live: Link): void {
    const { env, session } = this;
    const sentAt = env.now();
    this.silence ??= env.setTimeout(() => {
      this.silence = undefined;
      if (this.heardAt <= sentAt && session.uplink.hasMore(env.now())) live.verify(VERDICT_MS);
    }, SILENCE_MS);
  }

  stop(): void {
    for (const timer of [this.heartbeat, this.held, this.silence]) this.env.clearTimeout(timer);
  }
}
