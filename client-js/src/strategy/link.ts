/**
 * One connection, from candidate to link: it is judged by data, never by `open`. A hello with our nonce
 * proves the way down, an echo the way up; then an `attach` with a higher number moves the session to it.
 */
import type { Transport } from "../api.ts";
import { freshName } from "../env.ts";
import { UNREACHABLE } from "../errors.ts";
import { MORE, NONE } from "../parts.ts";
import type { FrameUp, OpenFrame, Refusal } from "../protocol/frames.ts";
import type { Reader } from "../session/session.ts";
import { addressOf } from "../transports/address.ts";
import type { Connection } from "../transports/connection.ts";
import { openStream } from "../transports/stream.ts";
import { openWebSocket } from "../transports/websocket.ts";
import type { Host } from "./host.ts";

/** Milliseconds that hello and echo, then attaching may take each. */
export const STEP_MS = 4000;
/** The same of connecting: a browser shakes hands with a host once at a time, and others wait for that. */
const CONNECT_MS = 3000;
/** Milliseconds within which a link has to answer when it is asked whether it still works. */
export const VERDICT_MS = 1500;
/** Milliseconds within which a stream has to bring something that was asked for alone: else the network gathers. */
const ALONE_MS = 1200;

const KINDS = { websocket: "ws", stream: "s", sse: "e" } as const;

export interface Link {
  readonly transport: Exclude<Transport, "poll">;
  /** Whether frames can be sent on it. */
  readonly duplex: boolean;
  reader: Reader;
  /** Settled once: with the reason, where it did not become the link. */
  readonly proven: Promise<Refusal | undefined>;
  /** Whether it ended because nothing came in time. */
  stalled: boolean;
  stage: "open" | "echo" | "attach" | "live" | "over";
  send(frame: FrameUp): void;
  /** Moves the session to this connection, or to a higher number on it. */
  attach(): void;
  /** It is the link from here on. */
  adopted(): void;
  /** Asks whether the live link still works, with a verdict soon. */
  verify(): void;
  /** It is over, and the host is told. */
  ended(why?: Refusal): void;
  /** Ends it without telling the host. */
  close(): void;
}

/** @param first opens a session on the connection itself, where there is none. */
export function openLink(
  host: Host,
  transport: Exclude<Transport, "poll">,
  first: OpenFrame | undefined,
): Link {
  const { env, session, exchanges } = host;
  const nonce = freshName(env);
  const duplex = !MORE || transport === "websocket";
  let connection: Connection | undefined;
  let settle: (why?: Refusal) => void;
  let via: string | undefined;
  let echo: string | undefined;
  let timer: unknown;
  /** When it began, and whether it opened. */
  const startedAt = MORE ? env.now() : 0;
  let opened = false;
  let echoes = 0;

  const step = (stage: Link["stage"], withinMs?: number): void => {
    link.stage = stage;
    env.clearTimeout(timer);
    if (withinMs) {
      timer = env.setTimeout(() => {
        if (MORE) link.stalled = true;
        link.ended();
      }, withinMs);
    }
  };

  const sendEcho = (): void => {
    echo = freshName(env);
    if (duplex) link.send({ l: "echo", id: echo });
    else host.post({ l: "echo", id: echo, via });
  };

  const link: Link = {
    transport,
    ...(MORE ? { duplex } : NONE),
    // Of no link: a candidate's session frames are never counted.
    reader: session.reader(0),
    proven: new Promise((resolve) => {
      settle = resolve;
    }),
    ...(MORE ? { stalled: false } : NONE),
    stage: "open",
    send: (frame) => connection?.send?.(frame),
    attach() {
      const { fresh: token } = host.tokens;
      const frame = session.attach(true, { token, ...(MORE && { via }) });
      link.reader = session.reader();
      step("attach", STEP_MS);
      if (duplex) link.send(frame);
      else {
        exchanges.run([frame], STEP_MS).then((why) => {
          if (why && link.stage === "attach") link.ended();
        });
      }
    },
    adopted() {
      if (MORE && link.stage !== "live") host.recorder.note(transport, "ok", env.now() - startedAt);
      step("live");
      settle();
    },
    verify() {
      if (link.stage !== "live" || echo) return;
      sendEcho();
      step("live", VERDICT_MS);
    },
    ended(why) {
      if (link.stage === "over") return;
      if (link.stage !== "live" && !why) {
        const outcome = opened ? "opened_dead" : link.stalled ? "hung" : "refused";
        if (MORE) host.recorder.note(transport, outcome, env.now() - startedAt);
      }
      settle(why ?? UNREACHABLE);
      link.close();
      host.lost(link, why);
    },
    close() {
      step("over");
      connection?.close();
      settle(UNREACHABLE);
    },
  };

  step("open", CONNECT_MS);
  connection = (duplex ? openWebSocket : openStream)(
    env,
    addressOf(host.base, nonce, MORE ? KINDS[transport] : "ws"),
    first ?? {
      l: "candidate",
      v: 1,
      ticket: session.ticket,
      ...(MORE && { filler: (!duplex && host.verdicts.known().fills) || undefined }),
    },
    {
      opened() {
        opened = true;
        step("open", STEP_MS);
      },
      ended: link.ended,
      frame(frame, chars) {
        if (frame.l === "echo") {
          if (frame.id !== echo) return;
          echo = undefined;
          if (link.stage === "echo") {
            // The first may have come with what the network had to bring anyway.
            if (duplex || echoes++) link.attach();
            else {
              step("echo", ALONE_MS + (host.recorder.rttMs ?? 0));
              sendEcho();
            }
          }
          if (link.stage === "live") step("live");
        } else if (frame.l !== "hello") {
          host.act(session.receive(link.reader, frame, chars), link);
        } else if (frame.nonce !== nonce || link.stage !== "open") {
          // An answer that is not to this request: a cache, or a proxy that merges requests.
          link.ended();
        } else if (first && session.ticket) {
          // The other way was faster: this one's provisional session ends by itself.
          link.close();
        } else if (first) {
          session.opened(frame);
          link.reader = session.reader();
          step("attach", STEP_MS);
          // Any frame after the hello makes the session more than provisional (PROTOCOL.md M14).
          link.send({ l: "pong" });
        } else {
          if (!duplex) via = frame.via;
          step("echo", STEP_MS);
          sendEcho();
        }
      },
    },
  );
  if (!connection) link.ended();
  return link;
}
