/**
 * The way up of the live link: a WebSocket carries its own frames; beside a stream go exchanges at its
 * number, one in flight, each with everything that is not acknowledged. Polls bring up what waits by
 * themselves; they are only ended early.
 */
import type { Transport } from "../api.ts";
import type { Env } from "../env.ts";
import type { LinkUp } from "../protocol/frames.ts";
import type { Session } from "../session/session.ts";
import type { Exchanges } from "./exchanges.ts";
import type { Link } from "./link.ts";
import type { Watch } from "./watch.ts";

/** Milliseconds that an exchange which only sends may take. */
export const SEND_MS = 4000;
/** Milliseconds between two exchanges that send the same frames, or poll for nothing. */
export const GAP_MS = 300;
/** Sends that change nothing, in a row, after which the link is given up. */
const STUCK_MAX = 3;

/** What the sender needs of what carries the session. */
export interface UpstreamHost {
  readonly env: Env;
  readonly session: Session;
  readonly live: Link | undefined;
  readonly polling: boolean;
  readonly over: boolean;
  visible(): boolean;
  may(transport: Transport): boolean;
  wake(): void;
  pause(ms: number): Promise<void>;
  settled(): Promise<void>;
}

export class Upstream {
  private readonly host: UpstreamHost;
  private readonly exchanges: Exchanges;
  private readonly watch: Watch;
  private sending = false;
  private kicked = false;

  constructor(host: UpstreamHost, exchanges: Exchanges, watch: Watch) {
    this.host = host;
    this.exchanges = exchanges;
    this.watch = watch;
  }

  /** Something waits to be sent: it goes with what else is asked for in the same task. */
  kick(): void {
    if (this.kicked) return;
    this.kicked = true;
    queueMicrotask(() => {
      const { host } = this;
      this.kicked = false;
      if (host.live) this.flush(false);
      else if (host.polling && host.session.uplink.hasMore(host.env.now())) host.wake();
      this.watch.set(host.live);
    });
  }

  /** Sends over the live link what is new, or with `again` all that is not acknowledged. */
  flush(again: boolean): void {
    const { live, session, env } = this.host;
    if (!live?.duplex) {
      void this.send();
      return;
    }
    if (live.attaching) return;
    const most = Number.POSITIVE_INFINITY;
    const frames = session.uplink.take(env.now(), again, most, most);
    for (const frame of frames) live.send(frame);
    if (frames.length > 0) this.watch.sent(live);
  }

  /** Sends link frames by exchange, beside what carries the session. */
  post(frames: LinkUp[]): void {
    this.exchanges.outgoing.push(...frames);
    if (this.host.polling) this.host.wake();
    else void this.send();
  }

  /** Tells the server the count, or of a candidate that it lives. */
  acknowledge(link: Link): void {
    const { live, session } = this.host;
    const visible = this.host.visible();
    if (link !== live) link.send({ l: "pong" });
    else if (link.duplex) link.send({ l: "pong", count: session.acknowledge(), visible });
    // The `attach` that goes before it has the count.
    else this.post([{ l: "pong", visible }]);
  }

  private async send(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    const { host, exchanges } = this;
    const { session, env } = host;
    const { uplink } = session;
    for (let stuck = 0, seq = 0; ; ) {
      await host.settled();
      const { live } = host;
      const isStream = live !== undefined && !live.duplex;
      const sends = isStream && uplink.hasMore(env.now());
      if (!sends && exchanges.outgoing.length === 0) break;
      if (host.over || session.ticket === undefined || (!live && host.may("poll"))) break;
      const options = { higher: false, visible: host.visible() };
      const why = await exchanges.send(options, SEND_MS, sends);
      stuck = uplink.firstSeq > 0 && uplink.firstSeq === seq ? stuck + 1 : 0;
      seq = uplink.firstSeq;
      // One that failed may still arrive, so it is not repeated: a higher link makes it void.
      if (why || stuck >= STUCK_MAX) {
        if (isStream && live === host.live) live.ended(undefined);
        break;
      }
      if (stuck > 0) await host.pause(GAP_MS);
    }
    this.sending = false;
  }
}
