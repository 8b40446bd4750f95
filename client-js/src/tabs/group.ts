/**
 * The tabs that share: who of them holds the session. That is whoever has the lock; the next in its queue
 * follows when it is closed or dies. One that stands still keeps its lock, so the others ask it whether it
 * is there, and take the lock from it.
 */
import type { AuthReason } from "../api.ts";
import { backoff } from "../backoff.ts";
import { freshName } from "../env.ts";
import { refusal, ThroughlineError } from "../errors.ts";
import type { Timed } from "../timers.ts";
import { createHolder, type Holder } from "./holder.ts";
import type { Bus, ShareOptions, TabsEnv } from "./index.ts";
import { createPort, isBefore, type Port } from "./port.ts";
import { subjectOf } from "./subject.ts";
import {
  type At,
  DIALECT,
  type Down,
  type Knock,
  type Move,
  type Status,
  type Up,
} from "./wire.ts";

/** Milliseconds between two looks whether the holder is there, of a page that is seen, and of another; at most. */
const LOOK_MS = 180;
const LOOK_HIDDEN_MS = 5000;
/** Looks in a row at which it was asked and did not answer, after which its lock is taken from it. */
const PATIENCE = 3;
/** Milliseconds that other tabs have to say where the session stands, to one that takes it and does not know. */
const KNOW_MS = 500;
/** Milliseconds that other tabs have to bring a token. */
const TOKEN_MS = 5000;

/** What the tab is told. */
export interface Told {
  status(status: Status): void;
  /** Another tab takes the session over. */
  lost(): void;
  resumed(value: { recovered: boolean }): void;
  trouble(error: ThroughlineError): void;
}

export interface Group {
  readonly Socket: Port["Socket"];
  /** Says it to the holder. */
  post(up: Partial<Up>): void;
  /** This tab shares no longer: the last one ends the session. */
  leave(): Promise<void>;
}

export function createGroup(
  env: Timed,
  { BroadcastChannel, locks }: { [Name in keyof TabsEnv]: NonNullable<TabsEnv[Name]> },
  base: string,
  { subject, auth, ...options }: ShareOptions,
  told: Told,
): Group {
  const id = freshName(env);
  /** Whose session it is; undefined where it is this tab's only, null where it is not known yet. */
  let whose: string | undefined | null = null;
  let isAlone = false;
  let hasLeft = false;
  /** Two, because none hears itself. */
  let ear: Bus | undefined;
  let mouth: Bus | undefined;
  /** Where the holder hears those that hear nothing. */
  let door: Bus | undefined;
  /** Which of the group's channels is spoken on. */
  let line = 0;
  let holder: Holder | undefined;
  /** This tab has the lock, and does not hold the session yet. */
  let isTaking = false;
  /** There was a holder before, so that other tabs may know where the session stands. */
  let hasCompany = false;
  let knowTimer: unknown;
  /** Gives back the lock of the holder, of this tab's life, and what is waited for. */
  let release: (() => void) | undefined;
  let letGo: (() => void) | undefined;
  let asking: AbortController | undefined;
  let timer: unknown;
  let silence = 0;
  let heard = false;
  /** The token by which it was found whose session it is. */
  let spare: string | undefined;
  let brought: ((token: string) => void) | undefined;

  const send = (message: Up | Down | Move): void => mouth?.postMessage(message);
  const post = (up: Partial<Up>): void => send({ from: id, term: port.at[0], ...up });

  // Tokens.

  const fits = (token: string | undefined): token is string =>
    !!token && (!whose?.startsWith("s") || whose === `s${subjectOf(token)}`);

  const bring = async (reason: AuthReason): Promise<string | undefined> => {
    let failure: unknown;
    try {
      const token = spare ?? (await auth?.(reason));
      spare = undefined;
      if (fits(token)) return token;
      if (token) failure = "the token is another user's";
    } catch (error) {
      failure = error;
    }
    const token =
      (holder?.size ?? 0) > 1 &&
      (await new Promise<string | undefined>((resolve) => {
        brought = resolve;
        holder?.wants(reason);
        env.setTimeout(() => resolve(undefined), TOKEN_MS);
      }));
    if (!token && failure) throw failure;
    return token || undefined;
  };

  const answer = async (reason: AuthReason): Promise<void> => {
    const token = await auth?.(reason);
    if (fits(token)) post({ token });
  };

  /** Finds out whose session it is; false where that is given up. */
  const identify = async (): Promise<boolean> => {
    const { backoff: { base = 250, cap = 20_000 } = {}, maxRetries = Infinity } = options;
    for (let tries = 0; whose === null && !hasLeft; ) {
      try {
        spare = subject === undefined ? await auth?.("open") : undefined;
        const sub = subjectOf(spare);
        whose = subject !== undefined ? `u${subject}` : spare ? sub && `s${sub}` : "";
      } catch (error) {
        const why = refusal("auth_failed", `${error}`);
        told.trouble(new ThroughlineError(why));
        if (tries >= maxRetries) {
          told.status({ state: "failed", transport: null, reason: why.code });
          return false;
        }
        const ms = backoff(tries++, cap, base, env.random());
        await new Promise<void>((resolve) => void env.setTimeout(resolve, ms));
      }
    }
    return !hasLeft;
  };

  // The lock.

  const name = (): string =>
    `throughline/${DIALECT}/${base}#${isAlone || whose === undefined ? `!${id}` : whose}`;

  const bus = (at: number): Bus => new BroadcastChannel(at ? `${name()}~${at}` : name());

  /** Speaks on that channel from here on. */
  const tune = (to: number): void => {
    ear?.close();
    mouth?.close();
    line = to;
    ear = bus(to);
    mouth = bus(to);
    ear.onmessage = ({ data }: { data: Up | Down | Move }) => listen(data);
  };

  const sayOnce = (on: Bus, message: Move | Knock): void => {
    on.postMessage(message);
    on.close();
  };

  const openDoor = (): void => {
    door?.close();
    door = new BroadcastChannel(`${name()}?`);
    door.onmessage = ({ data: { at } }: { data: Knock }) => {
      if (at < line) sayOnce(bus(at), { moves: line });
    };
  };

  /**
   * Takes the session over. What holders before said may still be on its way, also where the lock is here
   * already: it is there when this tab hears itself.
   */
  const lead = (): void => {
    holder?.abandon();
    holder = undefined;
    rest();
    openDoor();
    isTaking = true;
    post({ takes: port.standing() ? port.at : [0, 0] });
  };

  const rest = (): void => {
    isTaking = false;
    env.clearTimeout(knowTimer);
    knowTimer = undefined;
  };

  const take = (): void => {
    rest();
    const mine = createHolder({
      env,
      base,
      options,
      // Above that of every tab of this browser. Whole numbers would meet where two take the lock at once.
      term: Math.max(Math.floor(port.at[0]) + 1, env.now()) + env.random(),
      before: port.at,
      auth: auth || whose ? bring : undefined,
      post: send,
      whenGone(other, signal, call) {
        if (isAlone) return;
        const gone = locks.request(`${name()}/${other}`, { mode: "shared", signal }, () => {
          call();
          return undefined;
        });
        // The holder ended first.
        gone.catch(() => undefined);
      },
      crowded() {
        send({ moves: line + 1 });
        tune(line + 1);
      },
      over: () => holder === mine && yieldLock(),
    });
    holder = mine;
  };

  /** Holds no longer: this tab waits behind the others. */
  const yieldLock = (): void => {
    holder?.abandon();
    holder = undefined;
    rest();
    door?.close();
    port.forget();
    release?.();
    release = undefined;
    if (!hasLeft) want(false);
  };

  const want = (steals: boolean): void => {
    asking?.abort();
    asking = new AbortController();
    hasCompany ||= steals;
    let mine: typeof release;
    let isOver = false;
    const held = locks.request(
      name(),
      steals ? { steal: true } : { signal: asking.signal },
      () =>
        new Promise((resolve) => {
          if (hasLeft || isOver || !ear) return resolve();
          mine = release = resolve;
          lead();
        }),
    );
    held.catch(() => {
      // It was taken from this tab, even before that could use it, or is not waited for any more.
      isOver = true;
      if (mine && mine === release) yieldLock();
    });
  };

  const look = (): void => {
    env.clearTimeout(timer);
    if (hasLeft || !ear) return;
    const ms = (env.page?.visible() ?? true) ? LOOK_MS : LOOK_HIDDEN_MS;
    // Not all at once: one that takes the lock is heard by the others.
    timer = env.setTimeout(look, ms * (1 - env.random() / 4));
    if (holder || isTaking || heard) {
      silence = 0;
      heard = false;
    } else if (silence++ < PATIENCE) {
      post({ asks: port.seq });
      if (silence > 1) sayOnce(new BroadcastChannel(`${name()}?`), { at: line });
    } else {
      silence = 0;
      want(true);
    }
  };

  // What the others say.

  const hear = (down: Down): void => {
    const [term] = port.at;
    const isOwn = down.term === holder?.term;
    hasCompany ||= !isOwn;
    // Another spoke after this tab took the lock, and this tab has it.
    if (!port.receive(down)) return isOwn ? lead() : undefined;
    heard = true;
    if (knowTimer && port.standing()) take();
    if (term && term !== port.at[0]) told.lost();
    if (!isOwn) spare = undefined;
    if (isOwn && down.claim) holder?.start(port.standing());
    const { status, resumed, wants } = down;
    if (resumed) told.resumed(resumed);
    if (wants && !isOwn) answer(wants).catch(() => undefined);
    if (status) told.status(status);
  };

  /** A tab has the lock, and knows where the session stands up to there. */
  const taken = (from: string, knows: At): void => {
    heard = true;
    const standing = port.standing();
    if (from !== id) {
      if (standing && isBefore(knows, port.at)) post({ knows: { at: port.at, standing } });
    } else if (isTaking) {
      if (standing || !hasCompany) take();
      else knowTimer ??= env.setTimeout(take, KNOW_MS);
    }
  };

  const listen = (message: Up | Down | Move): void => {
    if ("moves" in message) {
      if (message.moves <= line) return;
      tune(message.moves);
      return isTaking ? lead() : post({ asks: port.seq });
    }
    if (!("from" in message)) return hear(message);
    const { from, transports, token } = message;
    if (message.takes) return taken(from, message.takes);
    if (message.knows) {
      if (knowTimer && port.adopt(message.knows)) take();
      return;
    }
    // Who holds next goes by it, too.
    if (transports) options.transports = transports;
    if (fits(token)) brought?.(token);
    holder?.receive(message);
  };

  const join = async (): Promise<void> => {
    if (ear || !(await identify())) return;
    isAlone ||= whose === undefined;
    if (!isAlone) {
      const alive = new Promise<void>((resolve, reject) => {
        locks
          .request(`${name()}/${id}`, {}, () => {
            resolve();
            return new Promise<void>((done) => {
              letGo = done;
            });
          })
          .catch(reject);
      });
      // A page of an opaque origin has locks and may not use them.
      await alive.catch(() => {
        isAlone = true;
      });
    }
    if (hasLeft) return letGo?.();
    tune(line);
    port.wake();
    if (isAlone) lead();
    else want(false);
    look();
  };

  /** The page goes, or stands still: another tab is to go on. With `keep`, this one after a reload. */
  const part = (keep: boolean): void => {
    if (holder) holder.abandon(keep);
    else post({ leaves: true });
    holder = undefined;
    hasCompany = false;
    rest();
    asking?.abort();
    env.clearTimeout(timer);
    for (const end of [ear, mouth, door]) end?.close();
    ear = mouth = undefined;
    release?.();
    letGo?.();
    release = letGo = undefined;
  };

  const port = createPort(id, post, () => {
    if (isAlone) return;
    part(false);
    isAlone = true;
    void join();
  });

  const { page } = env;
  const offs = page && [
    page.listen("visibilitychange", look),
    page.listen("pagehide", () => part(true)),
    page.listen("freeze", () => part(true)),
    page.listen("pageshow", (persisted) => persisted && void join()),
    page.listen("resume", () => void join()),
    page.listen("online", () => holder?.verify()),
    page.listen("pageshow", (persisted) => persisted && holder?.verify()),
  ];

  void join();

  return {
    Socket: port.Socket,
    post,
    async leave() {
      if (hasLeft) return;
      hasLeft = true;
      offs?.map((off) => off());
      if (holder && holder.size <= 1) await holder.close();
      part(false);
      env.stop();
    },
  };
}
