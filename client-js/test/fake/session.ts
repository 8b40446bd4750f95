/** The gateway's side of one session: counting, links, replay, the order of what goes up. */
import type { AttachFrame, LinkDown, SessionUp } from "../../src/protocol/frames.ts";

export type Down = Record<string, unknown>;

/** A connection on the gateway's side. */
export interface Sink {
  via: string;
  send(frame: Down | LinkDown): void;
  close(): void;
}

interface Poll {
  link: number;
  answer(frames: Down[]): void;
  timer: unknown;
}

export class GatewaySession {
  link = 1;
  applied = 0;
  acked = 0;
  away = false;
  visible = true;
  leaving = false;
  ended = false;
  readonly ticket: string;
  /** Public id of its member. */
  readonly member: string;
  readonly handed: Down[] = [];
  readonly queue: Down[] = [];
  readonly subs: Set<string> = new Set();
  readonly candidates: Map<string, Sink> = new Map();
  live: Sink | undefined;
  poll: Poll | undefined;

  constructor(ticket: string, member = "me") {
    this.ticket = ticket;
    this.member = member;
  }

  attached(from: number = this.acked): Down {
    return { l: "attached", link: this.link, from, up: this.applied, ticket: this.ticket };
  }

  /** Takes a link; answers an error where the count cannot be. */
  attach({ link, count, visible }: AttachFrame, sink: Sink | undefined): Down | undefined {
    this.visible = visible ?? this.visible;
    this.leaving = false;
    const total = this.acked + this.handed.length;
    if (count < this.acked || count > total) {
      this.ended = true;
      return { l: "error", code: "bad_count", message: "", scope: "session" };
    }
    this.handed.splice(0, count - this.acked);
    this.acked = count;
    if (link === this.link && !sink) return undefined;
    const old = this.live;
    if (old && old !== sink) {
      old.send({ l: "superseded", link });
      old.close();
    }
    this.answerPoll([{ l: "superseded", link }]);
    this.queue.unshift(...this.handed.splice(0));
    this.link = link;
    this.live = sink;
    return undefined;
  }

  /** Applies frames in the order of their numbers; beyond a hole none. */
  up(frames: SessionUp[], apply: (frame: SessionUp) => void): void {
    for (const frame of frames) {
      if (frame.seq !== this.applied + 1) continue;
      this.applied = frame.seq;
      apply(frame);
    }
  }

  push(frame: Down): void {
    if (this.ended) return;
    this.queue.push(frame);
    this.pump();
  }

  pump(): void {
    if (this.live) {
      for (const frame of this.queue.splice(0)) {
        this.handed.push(frame);
        this.live.send(frame);
      }
    } else if (this.poll && this.queue.length > 0) this.answerPoll(this.take());
  }

  /** What a poll is answered with. */
  take(): Down[] {
    const attached = this.attached();
    this.handed.push(...this.queue.splice(0));
    return [attached, ...this.handed];
  }

  answerPoll(frames: Down[]): void {
    const { poll } = this;
    this.poll = undefined;
    poll?.answer(frames);
  }

  ping(next: number): void {
    this.live?.send({ l: "ping", n: this.acked + this.handed.length, up: this.applied, next });
  }
}
