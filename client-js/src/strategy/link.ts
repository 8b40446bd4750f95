/**
 * One connection, from candidate to link: it is judged by data, never by `open`. A hello with our nonce
 * proves the way down, an echo the way up; then an `attach` with a higher number moves the session to it.
 */
import type { Transport } from "../api.ts";
import { type Env, freshName } from "../env.ts";
import {
  type FrameDown,
  type FrameUp,
  isLinkFrame,
  type LinkUp,
  type OpenFrame,
  type Refusal,
} from "../protocol/frames.ts";
import type { Output, Reader, Session } from "../session/session.ts";
import { addressOf } from "../transports/address.ts";
import type { Connection, Listener } from "../transports/candidate.ts";
import { openStream } from "../transports/stream.ts";
import { openWebSocket } from "../transports/websocket.ts";

/** What a link needs of what carries the session. */
export interface Host {
  readonly env: Env;
  readonly session: Session;
  readonly base: string;
  /** A token that an `attach` has to show, if one. */
  readonly token: string | undefined;
  visible(): boolean;
  /** Does what the session answered to a frame of this link. */
  act(outputs: Output[], link: Link): unknown;
  /** Sends link frames by exchange, beside what carries the session. */
  post(frames: LinkUp[]): void;
  /** Sends one `attach` by an exchange of its own; false where it was not answered. */
  postAttach(frame: LinkUp): Promise<boolean>;
  /** The live link is over. */
  lost(link: Link, why: Refusal | undefined): void;
}

/** Milliseconds that connecting, then hello and echo, then attaching may take each. */
const STEP_MS = 4000;

type Stage = "connecting" | "echo" | "attaching" | "live" | "over";

export class Link implements Listener {
  readonly transport: Exclude<Transport, "poll">;
  reader: Reader;
  /** Why a candidate failed, where the server said so. */
  why: Refusal | undefined;
  /** Whether it became the link. Settled once. */
  readonly proven: Promise<boolean>;

  private readonly host: Host;
  private readonly nonce: string;
  private readonly first: OpenFrame | undefined;
  private readonly settle: (proven: boolean) => void;
  private connection: Connection | undefined;
  private stage: Stage = "connecting";
  private via = "";
  private echo: string | undefined;
  private timer: unknown;

  /** @param first opens a session on the connection itself, where there is none. */
  constructor(host: Host, transport: Exclude<Transport, "poll">, first?: OpenFrame) {
    this.host = host;
    this.transport = transport;
    this.first = first;
    this.nonce = freshName(host.env);
    // A reader of no link: a candidate's session frames are never counted.
    this.reader = { ...host.session.reader(), link: 0 };
    let settle: (proven: boolean) => void = () => undefined;
    this.proven = new Promise((resolve) => {
      settle = resolve;
    });
    this.settle = settle;
    this.connect();
  }

  /** Whether the session waits for the answer to this link's `attach`. */
  get attaching(): boolean {
    return this.stage === "attaching";
  }

  /** Whether frames can be sent on it. */
  get duplex(): boolean {
    return this.transport === "websocket";
  }

  private connect(): void {
    const { env, base, session } = this.host;
    const candidate: LinkUp = { l: "candidate", v: 1, ticket: session.ticket ?? "" };
    this.step("connecting");
    this.connection =
      this.transport === "websocket"
        ? openWebSocket(env, addressOf(base, this.nonce, "ws"), this)
        : openStream(
            env,
            addressOf(base, this.nonce, this.transport === "sse" ? "e" : "s"),
            this.transport,
            candidate,
            this,
          );
    if (!this.connection) this.ended(undefined);
  }

  private step(stage: Stage): void {
    this.stage = stage;
    this.host.env.clearTimeout(this.timer);
    if (stage !== "live" && stage !== "over") {
      this.timer = this.host.env.setTimeout(() => this.ended(undefined), STEP_MS);
    }
  }

  send(frame: FrameUp): void {
    this.connection?.send?.(frame);
  }

  opened(): void {
    const { ticket } = this.host.session;
    this.step("connecting");
    this.send(this.first ?? { l: "candidate", v: 1, ticket: ticket ?? "" });
  }

  frame(frame: FrameDown, chars: number): void {
    const { session, env } = this.host;
    if (isLinkFrame(frame) && frame.l === "hello") {
      // An answer that is not to this request: a cache, or a proxy that merges requests.
      if (frame.nonce !== this.nonce || this.stage !== "connecting") return this.ended(undefined);
      this.via = frame.via;
      if (!this.first) return this.sendEcho("echo");
      session.opened(frame);
      this.reader = session.reader();
      this.step("attaching");
      // Any frame after the hello makes the session more than provisional (PROTOCOL.md M14).
      this.send({ l: "pong" });
    } else if (isLinkFrame(frame) && frame.l === "echo") {
      if (frame.id !== this.echo) return;
      this.echo = undefined;
      if (this.stage === "echo") this.attach();
      else this.step(this.stage);
    } else {
      this.host.act(session.receive(this.reader, frame, chars, env.now()), this);
    }
  }

  private sendEcho(stage: Stage): void {
    this.step(stage);
    this.echo = freshName(this.host.env);
    if (this.duplex) this.send({ l: "echo", id: this.echo });
    else this.host.post([{ l: "echo", id: this.echo, via: this.via }]);
  }

  /** Moves the session to this connection, or to a higher number on it. */
  attach(): void {
    const { session, token } = this.host;
    const via = this.duplex ? undefined : this.via;
    const frame = session.attach({ higher: true, token, visible: this.host.visible(), via });
    this.reader = session.reader();
    this.step("attaching");
    if (this.duplex) {
      this.send(frame);
      return;
    }
    this.host.postAttach(frame).then((answered) => {
      if (!answered && this.stage === "attaching") this.ended(undefined);
    });
  }

  /** It is the link from here on. */
  adopted(): void {
    this.step("live");
    this.settle(true);
  }

  /** Asks whether the live link still works, with a verdict after `withinMs`. */
  verify(withinMs: number): void {
    if (this.stage !== "live" || this.echo !== undefined) return;
    this.sendEcho("live");
    this.timer = this.host.env.setTimeout(() => this.ended(undefined), withinMs);
  }

  ended(why: Refusal | undefined): void {
    if (this.stage === "over") return;
    this.why ??= why;
    this.close();
    this.host.lost(this, why);
  }

  /** Ends the connection without telling the host. */
  close(): void {
    this.step("over");
    this.connection?.close();
    this.settle(false);
  }
}
