/**
 * How a session is opened, or reached again: by an exchange; on a WebSocket where one was proven here
 * before, or where no POST ever came through.
 */
import { CREDENTIALS, INTERCEPTED, isNetwork } from "../errors.ts";
import { MORE } from "../parts.ts";
import type { OpenFrame, Refusal } from "../protocol/frames.ts";
import type { Host } from "./host.ts";
import { VERDICT_MS } from "./link.ts";

/** Milliseconds that opening, or the first exchange after a loss, may take. */
const OPEN_MS = 8000;
/** A WebSocket that opens the session has this many milliseconds, or so many round trips, before it is hedged. */
const HEDGE_MS = 250;
const HEDGE_TRIPS = 1.5;
/** Exchanges of a session that is to be reached, one after the other: a page's pooled connections may be dead. */
const REACH_TRIES = 3;
/** A WebSocket that fails within this many milliseconds was refused by something near. */
const NEAR_MS = 300;

type Proved = Promise<Refusal | undefined>;

/**
 * @param opening the frame that opens a session, which is a new one from here on.
 * @returns reaches the session, with a `hedged` WebSocket first where that is likely to be faster; the reason,
 * where that failed.
 */
export function createReach(host: Host, opening: () => OpenFrame): (hedged: boolean) => Proved {
  const { session, exchanges, recorder, verdicts, tokens } = host;

  /** Attaches by an exchange, and by a higher one where that goes into a dead connection. */
  const rejoin = async (token: string | undefined): Proved => {
    for (let left = REACH_TRIES; ; ) {
      const sent = exchanges.send(true, OPEN_MS, true, { wait: 0, token });
      if (!--left) return sent;
      const done = await Promise.race([sent.then((why) => ({ why })), host.pause(VERDICT_MS)]);
      if (done) return done.why;
      // An answer that has begun comes down a slow line.
      if (host.over || !exchanges.abort()) return sent;
    }
  };

  /** Whether the WebSocket brought the session. */
  const isUp = (): boolean => !!host.live || host.probing?.stage === "attach";

  /** Opens on a WebSocket, and by an exchange beside it where that takes long: the first answer wins. */
  const race = async (): Proved => {
    const first = opening();
    const link = host.prove("websocket", first);
    const { rttMs = 0 } = verdicts.known();
    const hedge = host.pause(Math.max(HEDGE_MS, HEDGE_TRIPS * rttMs));
    await Promise.race([link, hedge]);
    if (isUp() || host.over) return link;
    const opened = exchanges.run([first], OPEN_MS);
    const why = await Promise.race([
      link.then((failed) => failed && opened),
      opened.then((failed) => (failed || isUp() ? link : failed)),
    ]);
    if (isUp()) exchanges.abort();
    else host.probing?.close();
    return why;
  };

  /** Why neither an exchange, which failed so, nor a WebSocket came through. */
  const explain = (why: Refusal | undefined, failed: Refusal): Refusal => {
    if (why === INTERCEPTED) return why;
    const { outcome, ms = 0 } = recorder.last("websocket") ?? {};
    const hung = recorder.last("poll")?.outcome === "hung";
    if (!hung || outcome !== "refused" || ms > NEAR_MS) return failed;
    recorder.note("poll", "credentials", ms);
    return CREDENTIALS;
  };

  return async (hedged) => {
    if (host.over) return undefined;
    const { fresh: token } = tokens;
    const kept = !!session.ticket;
    const likely = MORE && verdicts.known().best === "websocket" && host.may("websocket");
    if (hedged && !kept && likely && host.may("poll")) return race();
    // A candidate has no place for a token, and without a fresh one an expired ticket opens nothing.
    const renews = kept && token;
    let why: Refusal | undefined;
    if (
      renews ||
      (MORE ? host.allowed.some((transport) => transport !== "websocket") : host.may("poll"))
    ) {
      why = await (kept ? rejoin(token) : exchanges.run([opening()], OPEN_MS));
      if (!isNetwork(why) || exchanges.answered || !host.may("websocket")) return why;
    }
    const failed = await host.prove("websocket", kept && !renews ? undefined : opening());
    return MORE && failed && why && isNetwork(failed) ? explain(why, failed) : failed;
  };
}
