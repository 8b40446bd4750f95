/**
 * One tab's way to the holder. To the tab's own client it is a gateway, reached by a WebSocket: so the
 * client repairs, repeats and orders by what it has anyway. It also notes where the session stands, as the
 * next holder needs it.
 */
import type { Socket } from "../env.ts";
import type {
  FrameDown,
  LinkDown,
  OpenFrame,
  SessionDown,
  SessionUp,
  SubscriptionRequest,
} from "../protocol/frames.ts";
import { isAfter, type Position, parsePosition } from "../protocol/position.ts";
import { accept, moved } from "../session/subscriptions.ts";
import { fromReadings, type Shared, toReadings } from "./readers.ts";
import { type At, type Down, type Item, SEEN_EVERY, type Standing, type Up } from "./wire.ts";

/** The local session is over: the client opens another, with the positions that it has. */
export const LOCAL = "holder_gone";

/** Milliseconds, as long as a timer may be: nothing here needs the client's heartbeat. */
const PING_MS = 1 << 30;

/** By how much the next holder's links are above all that the one before may have given. */
const LINKS = 1 << 20;

export const isBefore = (one: At, [term, next]: At): boolean =>
  one[0] < term || (one[0] === term && one[1] < next);

/** One channel that the client asked for. */
interface Wanted {
  /** What comes for it is handed on. */
  live: boolean;
  /** What there was before that was handed on. */
  told: boolean;
  /** Who is there is wanted, and was said. */
  readonly watches: boolean;
  lists: boolean;
  /** The last event that was handed on. */
  last: Position | undefined;
}

export interface Port {
  /** The `WebSocket` of the tab's client. */
  readonly Socket: new (
    url: string,
  ) => Socket;
  /** Which holder it listens to, 0 before the first, and the number of the next message. */
  readonly at: At;
  /** Number of the last frame that went up. */
  readonly seq: number;
  /** Where the session stands, unless something was missed. */
  standing(): Standing | undefined;
  /** Takes from another tab where it stands there; false where this one heard more. */
  adopt(known: { at: At; standing: Standing }): boolean;
  /** Forgets where it stands: it is not ours any more. */
  forget(): void;
  /** The page was away, or comes: what others said meanwhile is not known. */
  wake(): void;
  /** Takes what a holder says; false where it is not the holder. */
  receive(down: Down): boolean;
}

/**
 * @param id of the tab.
 * @param post says it to the holder.
 * @param full told that there are too many tabs.
 */
export function createPort(id: string, post: (up: Partial<Up>) => void, full: () => void): Port {
  let term = 0;
  /** Number of the next message in this term. */
  let next = 0;
  /** Whether nothing was missed since all readings were said, and since the local session was opened. */
  let knows = false;
  let isWhole = false;
  let standing: Standing | undefined;
  let subs = new Map<string, Shared>();
  /** The connection of the tab's client, and what it opens with until that is answered. */
  let socket: LocalSocket | undefined;
  let opening: OpenFrame | undefined;
  let isOpen = false;
  let seq = 0;
  /** What the client reads. */
  const channels = new Map<string, Wanted>();

  const open = (): void => {
    if (opening) post({ open: opening, next: isWhole ? next : undefined });
  };

  /** The client has to open again. */
  const restart = (): void => {
    isOpen = false;
    if (opening) open();
    else give({ l: "error", code: LOCAL, message: "", scope: "session", retry_ms: 0 });
  };

  const give = (frame: FrameDown): void => socket?.onmessage?.({ data: JSON.stringify(frame) });

  const wants = ({ ch, presence }: SubscriptionRequest, knew = false): void => {
    const watches = !!presence;
    const last = channels.get(ch)?.last;
    channels.set(ch, { live: false, told: knew, watches, lists: knew && watches, last });
  };

  class LocalSocket implements Socket {
    onopen: Socket["onopen"] = null;
    onmessage: Socket["onmessage"] = null;
    onclose: Socket["onclose"] = null;
    onerror: Socket["onerror"] = null;
    readonly nonce: string;

    constructor(url: string) {
      this.nonce = url.split("/").slice(-2)[0] ?? "";
      socket = this;
      opening = undefined;
      queueMicrotask(() => this.onopen?.(undefined as never));
    }

    send(text: string): void {
      const frame = JSON.parse(text);
      if (socket !== this) return;
      if (frame.t) {
        if (frame.t === "subscribe") wants(frame);
        if (frame.t === "unsubscribe") channels.delete(frame.ch);
        seq = frame.seq;
        post({ data: frame as SessionUp });
      } else if (frame.l === "open") {
        isWhole &&= [...channels.values()].every(
          ({ told, watches, lists }) => told && lists === watches,
        );
        opening = frame as OpenFrame;
        isOpen = false;
        seq = 0;
        const subs = opening.subs ?? [];
        for (const sub of subs) wants(sub, isWhole);
        for (const ch of channels.keys())
          if (!subs.some((sub) => sub.ch === ch)) channels.delete(ch);
        open();
      } else if (frame.l === "echo") give({ l: "echo", id: frame.id });
      else if (frame.l === "pong") post({ visible: !!frame.visible });
      else if (frame.l === "close") post({ leaves: true });
      else restart();
    }

    close(): void {
      if (socket === this) socket = opening = undefined;
    }
  }

  const welcome = (): void => {
    if (!opening || !socket) return;
    opening = undefined;
    isOpen = isWhole = true;
    const { nonce } = socket;
    const ping_ms = { visible: PING_MS, hidden: PING_MS };
    const own = { l: "hello", via: id, nonce, ticket: id, ping_ms, expires_ms: 0 };
    give({ ...standing?.hello, ...own } as LinkDown);
    give({ l: "attached", link: 1, from: 0, up: 0, ticket: id });
  };

  /** Notes where the session stands after this. */
  const note = (data: SessionDown): void => {
    if (!("ch" in data) || !data.ch) return;
    const sub = subs.get(data.ch);
    if (!sub) return;
    if (data.t === "event") accept(sub, data);
    else if (data.t === "subscribed" || data.t === "gap") moved(sub, data);
    else return;
    sub.top = data.pos;
  };

  const take = ({ to, data, joins, says }: Item): void => {
    const isMine = to === id;
    if (to !== undefined && !isMine) return;
    if (joins) {
      const none = { told: false, watches: false, lists: false, last: undefined };
      channels.set(joins, { ...(channels.get(joins) ?? none), live: true });
    }
    if (says === "hello") welcome();
    if (says === "gone") restart();
    if (says === "full") full();
    if (!data) return;
    if (!isMine) note(data);
    const ch = "ch" in data && data.ch;
    const wanted = channels.get(ch || "");
    // What comes while the client opens again is repaired then.
    if (!isOpen) isWhole &&= isMine || !ch;
    else if (isMine || !ch || ("v" in data ? wanted?.watches : wanted?.live)) {
      if (wanted) {
        if ("v" in data) wanted.lists ||= /^[mc]/.test(data.t);
        // The state of a state channel follows, and ends with `caught_up`.
        wanted.told ||= data.t === "caught_up" || (data.t === "subscribed" && !data.state);
      }
      if (wanted && !isMine && data.t === "event") {
        // A holder that knows less than this tab hands on again what it was sent again.
        const at = parsePosition(data.pos);
        if (!at || !isAfter(at, wanted.last)) return;
        wanted.last = at;
      }
      give(data);
    }
  };

  const port: Port = {
    Socket: LocalSocket,
    get at(): At {
      return [term, next];
    },
    get seq() {
      return seq;
    },
    standing: () => (knows ? standing && { ...standing, readings: toReadings(subs) } : undefined),
    adopt(known) {
      if (isBefore(known.at, [term, next])) return false;
      [term, next] = known.at;
      standing = known.standing;
      subs = fromReadings(standing.readings ?? []);
      knows = true;
      isWhole = false;
      return true;
    },
    forget() {
      knows = false;
    },
    wake() {
      knows = isWhole = false;
      restart();
    },
    receive(down) {
      // One that claims with less than was heard here hears that, too, and claims again.
      if (down.term < term || (down.claim && isBefore(down.claim, [term, next]))) return false;
      const isNew = down.term > term;
      // A new holder goes on where one stood of whom this tab missed nothing.
      const [after, at] = isNew ? (down.claim ?? []) : [down.term, down.n];
      const isNext = after === term && at === next;
      if (!isNext) knows = isWhole = false;
      term = down.term;
      next = down.n + 1;
      if (next % SEEN_EVERY === 0) post({ seen: next });
      if (isNew || !isNext) restart();
      for (const item of down.items) take(item);
      const { readings } = down.standing ?? {};
      // The new holder may have brought links before it says so.
      if (isNew && standing) standing.link += LINKS;
      standing = { ...standing, ...down.standing } as Standing;
      if (readings) {
        subs = fromReadings(readings);
        knows = true;
      }
      return true;
    },
  };
  return port;
}
