/** Everything impure that the client touches. Tests and other runtimes give their own. */

import type { Off } from "./emitter.ts";
import { MORE, NONE } from "./parts.ts";
import { type Timed, timed } from "./timers.ts";

/** What the client needs of the page that it runs in. */
export interface Page {
  /** Whether somebody can see it. */
  visible(): boolean;
  /** Calls `listener` at each such event of the page. */
  listen(kind: PageEvent, listener: (persisted: boolean) => void): () => void;
}

export type PageEvent =
  | "visibilitychange"
  | "pagehide"
  | "pageshow"
  | "online"
  | "freeze"
  | "resume"
  /** The network is another kind of network. */
  | "change";

/** The part of `WebSocket` that is used. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
}

/** The part of `EventSource` that is used. */
export interface Source {
  readonly readyState: number;
  onmessage: ((event: { data: unknown; lastEventId: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  close(): void;
}

/** Where the client keeps what a reload needs: `sessionStorage`. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export interface Env {
  fetch: typeof fetch | undefined;
  WebSocket: (new (url: string) => Socket) | undefined;
  EventSource: (new (url: string) => Source) | undefined;
  setTimeout(call: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  /** Milliseconds of the clock. */
  now(): number;
  /** From 0 to below 1. */
  random(): number;
  storage: Store | undefined;
  /** What outlives the page and is shared by its tabs: `localStorage`. */
  lasting: Store | undefined;
  /** Runs it unless another tab of this origin runs one of that name; `undefined` then. */
  alone<T>(name: string, run: () => Promise<T>): Promise<T | undefined>;
  /** Sends a body that outlives the page; false where it was not taken. */
  beacon(url: string, body: string): boolean;
  page: Page | undefined;
  /** What relative addresses are resolved against. */
  base: string | undefined;
  /** Told what a listener of the application threw. */
  report(error: unknown): void;
}

/** The surroundings as they are, with the caller's own in their place. */
export function createEnv(own?: Partial<Env>): Timed {
  const all = globalThis as Partial<typeof globalThis>;
  const { document } = all;
  return timed({
    fetch: all.fetch?.bind(globalThis),
    WebSocket: all.WebSocket as Env["WebSocket"],
    EventSource: MORE ? (all.EventSource as Env["EventSource"]) : NONE,
    setTimeout: (call, delayMs) => setTimeout(call, delayMs),
    clearTimeout: (timer) => clearTimeout(timer as number),
    now: Date.now,
    random: Math.random,
    // A sandboxed page may not even look: it throws (WHATWG HTML, "The sessionStorage getter").
    get storage() {
      return MORE ? all.sessionStorage : NONE;
    },
    get lasting() {
      return MORE ? all.localStorage : NONE;
    },
    alone: MORE
      ? (name, run) => {
          const locks = all.navigator?.locks as Locks | undefined;
          // A sandboxed page has locks that it may not use: it rejects (Web Locks API, "request()").
          return locks
            ? locks
                .request(name, { ifAvailable: true }, async (lock) => (lock ? run() : undefined))
                .catch(run)
            : run();
        }
      : NONE,
    beacon: !MORE
      ? NONE
      : (url, body) => !!all.navigator?.sendBeacon?.(url, new URLSearchParams(body)),
    page: document && {
      visible: MORE ? () => !document.hidden : NONE,
      listen(kind, listener) {
        // On its way down an event of the document passes the window, too.
        const target: Network | undefined =
          MORE && kind === "change"
            ? (all.navigator as { connection?: Network }).connection
            : window;
        let type = MORE && target?.type;
        const call = MORE
          ? ({ persisted }: Partial<PageTransitionEvent>): void => {
              if (kind === "change" && type === target?.type) return;
              type = target?.type;
              listener(!!persisted);
            }
          : (): void => listener(false);
        target?.addEventListener(kind, call as never, true);
        return () => target?.removeEventListener(kind, call as never, true);
      },
    },
    base: document?.baseURI,
    // Called as a function, not as a member: `reportError` takes no other object than the page.
    report: all.reportError ?? console.error,
    ...own,
  });
}

/** The part of `navigator.locks` that is used. */
interface Locks {
  request<T>(
    name: string,
    options: { ifAvailable: boolean },
    call: (lock: unknown) => Promise<T>,
  ): Promise<T>;
}

/** The part of `navigator.connection` that is used. Its `type` is known on phones only. */
type Network = EventTarget & { type?: string };

/** Does it when the signal says so, be that now, until the answer is called. */
export function whenAborted(signal: AbortSignal | undefined, call: () => void): Off {
  if (signal?.aborted) call();
  signal?.addEventListener("abort", call);
  return () => signal?.removeEventListener("abort", call);
}

/** A fresh name: 20 or so characters of base 36, about 100 random bits. */
export function freshName(env: Pick<Env, "random">): string {
  const part = (): string => env.random().toString(36).slice(2);
  return part() + part() || "0";
}
