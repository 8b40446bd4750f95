/**
 * Better transports: proved one at a time, best first, behind what carries the session. Tried soon
 * after a loss, then ever more rarely.
 */
import { HEALTHY_MS } from "../backoff.ts";
import { MORE, NONE } from "../parts.ts";
import type { Host } from "./host.ts";
import type { Link } from "./link.ts";

/** Milliseconds before each round, where nothing better was lost. */
const DELAYS_MS: readonly number[] = [0, 5000, 60_000, 5 * 60_000];
const LAST_MS = 30 * 60_000;
/** The same for five minutes after a proven link was lost; the first of it while another tab proves. */
const SOON_MS = 1000;
const SOON_MS_MAX = 30_000;
const OFTEN_MS = 5 * 60_000;
/** Two links that were cut at an age of at least this, which differs by at most this part, were cut for that age. */
const CUT_MS = 3000;
const CUT_PART = 0.2;
/** The part of that age after which the next link is replaced, and what that grows by each time: networks change. */
const ROTATE_PART = 0.8;
const GROWTH = 1.02;

export interface Climb {
  /** Sees to it that a round runs or is planned. */
  plan(): void;
  /** Runs a round, or joins the one that runs; true where nothing better is left. */
  now(): Promise<boolean>;
  /** A link that lived `livedMs` was lost, or cut by the network: after a healthy life the rounds begin anew. */
  lost(livedMs: number, cut: boolean): void;
  /** This link carries the session: it is replaced before the age at which the network cut others. */
  adopted(link: Link): void;
  /** The network is another: so do they. */
  changed(): void;
}

export function createClimb(host: Host): Climb {
  const { env } = host;
  let rung = 0;
  /** The same of the rounds that come soon; none before a link was lost, at that time. */
  let soon = 0;
  let since = -Infinity;
  /** The age at which the last link was cut, and the one at which a link is replaced, if at any. */
  let cutMs = 0;
  let rotateMs = 0;
  let busy = false;
  let timer: unknown;
  let running: Promise<boolean> | undefined;

  const isTop = (): boolean => (host.live?.transport ?? "poll") === host.allowed[0];

  const round = async (): Promise<boolean> => {
    if (!MORE) {
      if (host.may("websocket") && !host.live) await host.prove("websocket");
      return isTop();
    }
    const { allowed } = host;
    for (const transport of allowed) {
      if (host.over || !host.session.ticket) return true;
      if (host.live?.transport === transport) break;
      if (transport === "poll") {
        host.live?.ended();
        break;
      }
      // What is known to fail here is left for a later round, unless nothing else is allowed.
      if (MORE && rung < 2 && allowed.length > 1 && host.verdicts.isBad(transport)) continue;
      const prove = async () => ({ why: await host.prove(transport) });
      const done = await env.alone(`throughline:${host.base}`, prove);
      busy = !done;
      if (!done?.why) break;
    }
    // The application changed its mind meanwhile.
    if (allowed !== host.allowed) return round();
    if (host.live && !host.may(host.live.transport)) host.live.ended();
    return isTop();
  };

  const climb: Climb = {
    plan() {
      if (timer || running || host.over || isTop()) return;
      const often = MORE && env.now() - since < OFTEN_MS;
      const waits = MORE && busy;
      const delayMs =
        waits || often
          ? Math.min(SOON_MS * 4 ** (waits ? 0 : soon++), SOON_MS_MAX)
          : (DELAYS_MS[rung++] ?? LAST_MS);
      busy = false;
      if (delayMs === 0) void climb.now();
      else timer = env.setTimeout(() => void climb.now(), delayMs);
    },
    now() {
      env.clearTimeout(timer);
      timer = undefined;
      running ??= round().then((top) => {
        running = undefined;
        if (!top) climb.plan();
        return top;
      });
      return running;
    },
    lost: MORE
      ? (livedMs, cut) => {
          if (cut) {
            if (livedMs >= CUT_MS && Math.abs(livedMs - cutMs) <= livedMs * CUT_PART) {
              rotateMs = Math.min(livedMs, cutMs) * ROTATE_PART;
            }
            cutMs = livedMs;
          }
          if (livedMs < HEALTHY_MS && since > 0) return;
          soon = 0;
          rung = 2;
          since = env.now();
        }
      : NONE,
    adopted: MORE
      ? (link) => {
          if (!rotateMs) return;
          env.setTimeout(() => {
            if (host.live === link) void host.prove(link.transport);
          }, rotateMs);
          rotateMs *= GROWTH;
        }
      : NONE,
    changed() {
      soon = rung = rotateMs = 0;
    },
  };
  return climb;
}
