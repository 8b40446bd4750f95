/** A gateway in memory, as PROTOCOL.md describes it: enough of one to judge a client by. */
import type {
  AttachFrame,
  FrameUp,
  LinkUp,
  OpenFrame,
  Request,
  SessionUp,
  SubscriptionRequest,
} from "../../src/protocol/frames.ts";
import type { Clock } from "./clock.ts";
import { type Down, GatewaySession, type Sink } from "./session.ts";

/** Milliseconds between pings. */
const PING_MS = 7000;

export interface Log {
  kind: "durable" | "state" | "ephemeral";
  epoch: string;
  events: Down[];
  trimmed: number;
}

type HistoryRequest = Extract<Request, { t: "history" }>;

/** The latest event of each key, in order of offset (M32). */
const latest = ({ events }: Log): Down[] =>
  events.filter(
    (event, at) => !events.slice(at + 1).some((other) => other["key"] === event["key"]),
  );

const isSession = (frame: FrameUp): frame is SessionUp => "t" in frame;

export class Gateway {
  readonly logs: Map<string, Log> = new Map();
  readonly sessions: Map<string, GatewaySession> = new Map();
  /** Those that no node has any more, by ticket (M44). */
  readonly lost: Map<string, GatewaySession> = new Map();
  /** Codes with which the next exchanges of a session are refused, each for a second. */
  refusals: string[] = [];
  /** Every frame that came up, for tests to look at. */
  readonly seen: FrameUp[] = [];
  /** What `hello` says beside what it must. */
  hello: Down = {};
  /** Tokens that are good; any where there is none. */
  tokens: Set<string> | undefined;
  /** Codes with which the next publishes are answered, instead of being stored. */
  publishErrors: string[] = [];
  ping = true;
  private readonly clock: Clock;
  private tickets = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  log(ch: string): Log {
    const kind = ch.startsWith("state:")
      ? "state"
      : ch.startsWith("eph:")
        ? "ephemeral"
        : "durable";
    const log = this.logs.get(ch) ?? { kind, epoch: "e1", events: [], trimmed: 0 };
    this.logs.set(ch, log);
    return log;
  }

  position(log: Log, offset: number = log.events.length): string {
    return `${log.epoch}.${offset}.${offset.toString(16).padStart(16, "0")}`;
  }

  publish(ch: string, data: unknown, id = `id${Math.random()}`, key?: string): string {
    const log = this.log(ch);
    const before = log.events.find((event) => event["id"] === id && log.kind === "durable");
    if (before) return String(before["pos"]);
    const pos = this.position(log, log.events.length + 1);
    const event: Down = { t: "event", ch, pos, id, at: 1, data, ...(key !== undefined && { key }) };
    log.events.push(event);
    for (const session of this.sessions.values()) if (session.subs.has(ch)) session.push(event);
    return pos;
  }

  private subscribe(
    session: GatewaySession,
    { ch, since }: SubscriptionRequest,
    re?: number,
  ): void {
    if (ch.startsWith("forbidden:")) {
      session.push({ t: "error", re, ch, code: "forbidden", message: "no capability" });
      return;
    }
    const log = this.log(ch);
    const state = log.kind === "state";
    if (session.subs.has(ch)) {
      const durable = log.kind === "durable";
      session.push({ t: "subscribed", re, ch, pos: this.position(log), durable, state });
      return;
    }
    const offset = since === undefined ? log.events.length : Number(since.split(".")[1] ?? 0);
    const proven =
      since === undefined ||
      (since === "0"
        ? log.trimmed === 0
        : since === this.position(log, offset) && offset >= log.trimmed);
    const from = proven ? offset : log.trimmed;
    const pos = this.position(log, from);
    session.subs.add(ch);
    if (!proven) session.push({ t: "gap", ch, reason: "epoch", pos });
    session.push({ t: "subscribed", re, ch, pos, durable: log.kind === "durable", state });
    const replay = state ? latest(log) : log.kind === "durable" ? log.events.slice(from) : [];
    for (const event of replay) session.push(event);
    if (since !== undefined || state) session.push({ t: "caught_up", ch });
  }

  private apply(session: GatewaySession, frame: SessionUp): void {
    const { seq: re } = frame;
    switch (frame.t) {
      case "subscribe":
        return this.subscribe(session, frame, re);
      case "unsubscribe":
        session.subs.delete(frame.ch);
        return session.push({ t: "ok", re });
      case "publish": {
        const code = this.publishErrors.shift();
        if (code) return session.push({ t: "error", re, code, message: code });
        const pos = this.publish(frame.ch, frame.data, frame.id, frame.key);
        return session.push({ t: "ok", re, pos, id: frame.id });
      }
      case "history":
        return session.push({ t: "ok", re, ...this.page(frame) });
      case "presence": {
        const users = { u1: { state: "online", sessions: 2, last_seen: 5 } };
        const member = { id: "me", state: "online" };
        const channels = (frame.chs ?? []).map((ch) => [ch, { n: 1, members: [member] }]);
        return session.push({ t: "ok", re, users, channels: Object.fromEntries(channels) });
      }
      case "auth":
        return session.push({ t: "ok", re, expires_ms: 100_000 });
      case "away":
        session.away = frame.away;
        return session.push({ t: "ok", re });
      case "feed_ticket":
        return session.push({ t: "ok", re, ticket: "ft", expires_ms: 1000 });
      default:
        frame satisfies never;
    }
  }

  /** What follows a position, or the latest of each key. */
  private page({ ch, since = "0", limit = 100 }: HistoryRequest): Down {
    const log = this.log(ch);
    const top = this.position(log);
    if (log.kind === "state") {
      return { events: latest(log), pos: top, more: false };
    }
    const from = since === "0" ? log.trimmed : Number(since.split(".")[1]);
    if (from < log.trimmed) return { events: [], pos: top, more: false, gap: "trimmed" };
    const events = log.events.slice(from, from + limit);
    const end = from + events.length;
    return { events, pos: this.position(log, end), more: end < log.events.length };
  }

  private begin(frame: OpenFrame, nonce: string, sink?: Sink): Down[] | GatewaySession {
    if (this.tokens && !this.tokens.has(frame.token ?? "")) {
      return [{ l: "error", code: "unauthorized", message: "", scope: "session" }];
    }
    const again = this.lost.get(frame.ticket ?? "");
    const session = new GatewaySession(`ticket${++this.tickets}`, again?.member);
    this.sessions.set(session.ticket, session);
    session.live = sink;
    const { ticket, member: id } = session;
    const via = `n1.${nonce}`;
    const own: Down = { l: "hello", v: 1, via, nonce, ticket, me: { id } };
    const hello: Down = { ...own, ...(again && { rebuilt: true }), ...this.hello };
    session.link = frame.link ?? 1;
    sink?.send(hello);
    sink?.send(session.attached());
    if (sink) this.beat(session, sink);
    for (const sub of frame.subs ?? []) this.subscribe(session, sub);
    return sink ? session : [hello, ...session.take()];
  }

  /** The node that has the sessions is lost: an `open` that shows the ticket goes on as the same member. */
  lose(): void {
    for (const [ticket, session] of this.sessions) this.lost.set(ticket, session);
    this.sessions.clear();
  }

  private find(ticket: string | undefined): GatewaySession | undefined {
    const session = this.sessions.get(ticket ?? "");
    return session?.ended ? undefined : session;
  }

  /** Pings the link while it is one. */
  private beat(session: GatewaySession, sink: Sink): void {
    this.clock.setTimeout(() => {
      if (session.live !== sink || session.ended) return;
      if (this.ping) session.ping(PING_MS);
      this.beat(session, sink);
    }, PING_MS);
  }

  /** Answers an exchange once. */
  exchange(frames: FrameUp[], nonce: string, answer: (frames: Down[]) => void): void {
    this.seen.push(...frames);
    const [first, ...rest] = frames;
    if (first && "l" in first && first.l === "open") {
      answer(this.begin(first, nonce) as Down[]);
      return;
    }
    const attach = first as AttachFrame;
    const code = this.refusals.shift();
    if (code) return answer([{ l: "error", code, message: "", scope: "link", retry_ms: 1000 }]);
    const session = this.find(attach.ticket);
    if (!session)
      return answer([{ l: "error", code: "session_gone", message: "", scope: "session" }]);
    if (attach.link < session.link) return answer([{ l: "superseded", link: session.link }]);
    const candidate = session.candidates.get(attach.via ?? "");
    const equal = attach.link === session.link;
    const refused = session.attach(attach, candidate);
    if (refused) return answer([refused]);
    if (candidate) {
      candidate.send(session.attached());
      this.beat(session, candidate);
    }
    for (const frame of rest) if (!isSession(frame)) this.link(session, frame, undefined);
    session.up(rest.filter(isSession), (frame) => this.apply(session, frame));
    if (session.live) {
      answer([session.attached(session.acked + session.handed.length)]);
      session.pump();
      return;
    }
    if (equal) session.answerPoll([session.attached()]);
    session.poll = { link: attach.link, answer, timer: undefined };
    session.pump();
    if (session.poll) {
      const { poll } = session;
      this.clock.setTimeout(() => {
        if (session.poll === poll) session.answerPoll(session.take());
      }, attach.wait ?? 0);
    }
  }

  /** A stream's first frame. */
  stream(frame: FrameUp, nonce: string, sink: Sink): void {
    this.seen.push(frame);
    const session = "ticket" in frame ? this.find(frame.ticket) : undefined;
    if (!session) {
      sink.send({ l: "error", code: "session_gone", message: "", scope: "session" });
      return sink.close();
    }
    session.candidates.set(sink.via, sink);
    sink.send({ l: "hello", v: 1, via: sink.via, nonce });
  }

  /** A WebSocket: each frame that comes up. Answers the session that it belongs to. */
  socket(
    frame: FrameUp,
    nonce: string,
    sink: Sink,
    session?: GatewaySession,
  ): GatewaySession | undefined {
    this.seen.push(frame);
    if (!("l" in frame)) {
      if (session?.live === sink) session.up([frame], (one) => this.apply(session, one));
      return session;
    }
    if (frame.l === "open") {
      const begun = this.begin(frame, nonce, sink);
      if (begun instanceof GatewaySession) {
        begun.pump();
        return begun;
      }
      for (const down of begun) sink.send(down);
      sink.close();
      return undefined;
    }
    if (frame.l === "candidate") {
      this.stream(frame, nonce, sink);
      return this.find(frame.ticket);
    }
    if (frame.l === "attach" && session) {
      if (frame.link <= session.link) {
        sink.send({ l: "superseded", link: session.link });
        return session;
      }
      const refused = session.attach(frame, sink);
      sink.send(refused ?? session.attached());
      if (!refused) {
        session.pump();
        this.beat(session, sink);
      }
    } else if (session) this.link(session, frame, sink);
    return session;
  }

  private link(session: GatewaySession, frame: LinkUp, sink: Sink | undefined): void {
    if (frame.l === "echo") {
      const to = frame.via === undefined ? sink : (session.candidates.get(frame.via) ?? sink);
      to?.send({ l: "echo", id: frame.id });
    } else if (frame.l === "pong") {
      session.visible = frame.visible ?? session.visible;
      const { count } = frame;
      if (count !== undefined) session.handed.splice(0, count - session.acked);
      session.acked = Math.max(session.acked, count ?? 0);
    } else if (frame.l === "leaving") session.leaving = true;
    else if (frame.l === "close") session.ended = true;
  }
}
