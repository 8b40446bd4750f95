/** Everything impure that the client touches. Tests and other runtimes give their own. */
import { FORM } from "./protocol/body.ts";

/** What the client needs of the page that it runs in. */
export interface Page {
  /** Whether somebody can see it. */
  visible(): boolean;
  /** Calls `listener` at each `visibilitychange`, `pagehide`, `pageshow` or `online`. */
  listen(kind: PageEvent, listener: (persisted: boolean) => void): () => void;
}

export type PageEvent = "visibilitychange" | "pagehide" | "pageshow" | "online";

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
  /** Sends a body that outlives the page; false where it was not taken. */
  beacon(url: string, body: string): boolean;
  page: Page | undefined;
  /** What relative addresses are resolved against. */
  base: string | undefined;
  /** Told what a listener of the application threw. */
  report(error: unknown): void;
}

function sessionStorage(): Store | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    // A sandboxed page may not even look (WHATWG HTML, "The sessionStorage getter").
    return undefined;
  }
}

function page(): Page | undefined {
  if (typeof document === "undefined" || typeof window === "undefined") return undefined;
  return {
    visible: () => document.visibilityState !== "hidden",
    listen(kind, listener) {
      const target = kind === "visibilitychange" ? document : window;
      const call = (event: Event & { persisted?: boolean }): void => listener(!!event.persisted);
      target.addEventListener(kind, call);
      return () => target.removeEventListener(kind, call);
    },
  };
}

/** The surroundings as they are, with the caller's own in their place. */
export function createEnv(own: Partial<Env> = {}): Env {
  const all = globalThis as Partial<typeof globalThis>;
  return {
    fetch: all.fetch?.bind(globalThis),
    WebSocket: all.WebSocket as Env["WebSocket"],
    EventSource: all.EventSource as Env["EventSource"],
    setTimeout: (call, delayMs) => setTimeout(call, delayMs),
    clearTimeout: (timer) => clearTimeout(timer as number),
    now: () => Date.now(),
    random: () => Math.random(),
    storage: sessionStorage(),
    beacon: (url, body) =>
      all.navigator?.sendBeacon?.(url, new Blob([body], { type: FORM })) ?? false,
    page: page(),
    base: all.document?.baseURI,
    report: (error) => (all.reportError ?? console.error)(error),
    ...own,
  };
}

/** A fresh name: 20 or so characters of base 36, about 100 random bits. */
export function freshName(env: Pick<Env, "random">): string {
  const part = (): string => env.random().toString(36).slice(2);
  return `${part()}${part()}` || "0";
}
