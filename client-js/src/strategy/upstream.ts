/**
 * The way up of the live link: a WebSocket carries its own frames; beside a stream go exchanges at its
 * number, one in flight, each with everything that is not acknowledged. Polls bring up what waits by
 * themselves; they are only ended early. And the one timer of what carries the session: heartbeat, silence,
 * held publishes.
 */
import { MORE, NONE } from "../parts.ts";
import type { LinkUp } from "../protocol/frames.ts";
import type { Host } from "./host.ts";
import { type Link, STEP_MS } from "./link.ts";

/** Milliseconds after which a link that was sent something and is silent is asked. */
const SILENCE_MS = 2000;
/** Milliseconds between two exchanges that send the same frames, or poll for nothing. */
export const GAP_MS = 300;
/** Sends that change nothing, in a row, after which the link is given up. */
const STUCK_MAX = 3;

export interface Upstream {
  /** Something waits to be sent: it goes with what else is asked for in the same task. */
  kick(): void;
  /** Sends over the live link what is new, or with `again` all that is not acknowledged. */
  flush(again: boolean): void;
  /** Sends a link frame by exchange, beside what carries the session. */
  post(frame: LinkUp): void;
  /** Tells the server the count, or of a candidate that it lives. */
  acknowledge(link: Link): void;
  /** Something came down. */
  heard(): void;
  /** Sets the timer by what the session waits for. */
  watch(): void;
}

export function createUpstream(host: Host): Upstream {
  const { env, session, exchanges } = host;
  const { uplink } = session;
  let sending = false;
  let kicked = false;
  let timer: unknown;
  /** When the live link is to be asked, unless something comes. */
  let silentAt = Infinity;

  const send = async (): Promise<void> => {
    if (sending) return;
    sending = true;
    let seq: number | undefined;
    for (let stuck = 0; ; ) {
      await host.settled();
      const { live } = host;
      const stream = live?.duplex ? undefined : live;
      const sends = !!stream && uplink.hasMore();
      if (!sends && !exchanges.outgoing.length) break;
      if (host.over || !session.ticket || (!live && host.may("poll"))) break;
      const why = await exchanges.send(false, STEP_MS, sends);
      const first = uplink.firstSeq();
      stuck = first && first === seq ? stuck + 1 : 0;
      seq = first;
      // One that failed may still arrive, so it is not repeated: a higher link makes it void.
      if (why || stuck >= STUCK_MAX) {
        if (stream === host.live) stream?.ended();
        break;
      }
      if (stuck) await host.pause(GAP_MS);
    }
    sending = false;
  };

  const upstream: Upstream = {
    kick() {
      if (kicked) return;
      kicked = true;
      queueMicrotask(() => {
        kicked = false;
        if (host.live) upstream.flush(false);
        else if (host.polling && uplink.hasMore()) host.wake();
        upstream.watch();
      });
    },
    flush(again) {
      const { live } = host;
      if (!live || (MORE && !live.duplex)) {
        if (MORE) void send();
      } else if (live.stage !== "attach") {
        for (const frame of uplink.take(again, Infinity, Infinity)) {
          live.send(frame);
          silentAt = Math.min(silentAt, env.now() + SILENCE_MS);
        }
        upstream.watch();
      }
    },
    post: MORE
      ? (frame) => {
          exchanges.outgoing.push(frame);
          if (host.polling) host.wake();
          else void send();
        }
      : NONE,
    acknowledge(link) {
      const duplex = !MORE || link.duplex;
      const isLive = link === host.live;
      // Beside a stream the `attach` that goes before it has the count.
      const count = duplex && isLive ? session.acknowledge() : undefined;
      const pong = { l: "pong", ...(MORE && { visible: host.seen() }), count } as const;
      if (duplex) link.send(pong);
      else if (MORE && isLive) upstream.post(pong);
    },
    heard() {
      silentAt = Infinity;
    },
    watch() {
      const { live } = host;
      env.clearTimeout(timer);
      const at = Math.min(uplink.wakeAt(), live ? Math.min(session.deadline, silentAt) : Infinity);
      if (at === Infinity) return;
      timer = env.setTimeout(() => {
        const now = env.now();
        if (now >= session.deadline) live?.ended();
        else if (now >= silentAt) {
          silentAt = Infinity;
          if (uplink.hasMore()) live?.verify();
        }
        upstream.kick();
      }, at - env.now());
    },
  };
  return upstream;
}
