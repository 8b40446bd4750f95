/**
 * A browser with several tabs of one page, in virtual time: each has its own timers and connections, they
 * share locks and a BroadcastChannel. A tab can be killed, frozen, hidden, or made deaf for a while.
 */
import { setMaxListeners } from "node:events";
import type { Client, Env, PageEvent, Socket } from "../../src/index.ts";
import { type Bus, connectShared, type Locks, type ShareOptions } from "../../src/tabs/index.ts";
import { World } from "./world.ts";

/** Milliseconds that a message between tabs takes, and the grant of a lock, at most. */
const HOP_MS = 4;

interface Line extends Bus {
  readonly name: string;
  readonly tab: FakeTab;
  /** When the message before is there: what one is told comes in the order in which it was said. */
  busyUntil: number;
}

interface Request {
  readonly tab: FakeTab;
  readonly isShared: boolean;
  readonly grant: () => void;
  readonly refuse: (why: Error) => void;
}

interface Lock {
  held: Request[];
  queue: Request[];
}

/** Whether the lock is that of the holder, not of one tab's life. */
const isHolders = (name: string): boolean => /#[^/]*$/.test(name);

const aborted = (): Error => new DOMException("", "AbortError");

export class Browser {
  readonly world: World = new World();
  readonly tabs: FakeTab[] = [];
  /** Part of the messages that are lost on the way to a tab that is not the holder. */
  lossy = 0;
  /** Milliseconds that a message between tabs takes at most. */
  hopMs: number = HOP_MS;
  private readonly lines = new Set<Line>();
  private readonly locks = new Map<string, Lock>();

  get holder(): FakeTab | undefined {
    return this.tabs.find((tab) => tab.isHolder);
  }

  /** Whether a tab has the lock of the holder. */
  holds(tab: FakeTab): boolean {
    return [...this.locks].some(
      ([name, { held }]) => isHolders(name) && held.some((request) => request.tab === tab),
    );
  }

  /** @param stored what the page before left in the session storage. */
  open(options: ShareOptions = {}, stored: Map<string, string> = new Map()): FakeTab {
    const tab = new FakeTab(this, stored);
    this.tabs.push(tab);
    tab.client = connectShared("http://gateway.test/realtime", {
      ...options,
      env: { ...tab.env, ...options.env },
    });
    return tab;
  }

  line(name: string, tab: FakeTab): Bus {
    const { world, lines } = this;
    const line: Line = {
      name,
      tab,
      busyUntil: 0,
      onmessage: null,
      postMessage: (message) => {
        if (process.env["TRACE"])
          console.log(
            world.clock.now % 1000000,
            this.tabs.indexOf(tab),
            JSON.stringify(message, (k, v) =>
              ["hello", "readings", "ticket"].includes(k) ? "…" : v,
            ).slice(0, 700),
          );
        for (const other of lines) {
          if (other === line || other.name !== name || !other.onmessage) continue;
          const data = structuredClone(message);
          const isLost = !other.tab.isHolder && world.random() < this.lossy;
          if (isLost || (other.tab.frozen && other.tab.forgets)) continue;
          const at = Math.max(other.busyUntil, world.clock.now + world.random() * this.hopMs);
          other.busyUntil = at;
          const tell = (): void => void (lines.has(other) && other.onmessage?.({ data } as never));
          world.clock.setTimeout(() => other.tab.run(tell), at - world.clock.now);
        }
      },
      close: () => void lines.delete(line),
    };
    lines.add(line);
    return line;
  }

  request(
    tab: FakeTab,
    name: string,
    { mode, steal, signal }: Parameters<Locks["request"]>[1],
    call: () => Promise<void> | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const lock = this.locks.get(name) ?? { held: [], queue: [] };
      this.locks.set(name, lock);
      const request: Request = {
        tab,
        isShared: mode === "shared",
        refuse: reject,
        grant: () => {
          const done = async (): Promise<void> => {
            await call();
            if (!lock.held.includes(request)) return;
            lock.held = lock.held.filter((other) => other !== request);
            resolve();
            this.serve(lock);
          };
          this.world.clock.setTimeout(() => tab.run(() => void done()), 0);
        },
      };
      if (signal) setMaxListeners(100, signal);
      signal?.addEventListener("abort", () => {
        lock.queue = lock.queue.filter((other) => other !== request);
        reject(aborted());
      });
      if (steal) {
        for (const loser of lock.held.splice(0)) {
          loser.tab.run(() => loser.refuse(aborted()));
        }
        lock.held = [request];
        request.grant();
      } else {
        lock.queue.push(request);
        this.serve(lock);
      }
    });
  }

  private serve(lock: Lock): void {
    for (;;) {
      const [next] = lock.queue;
      const isFree = lock.held.every(({ isShared }) => isShared && next?.isShared);
      if (!next || !isFree) return;
      lock.queue.shift();
      lock.held.push(next);
      next.grant();
    }
  }

  /** Everything of a tab that is gone. */
  forget(tab: FakeTab): void {
    for (const line of [...this.lines]) if (line.tab === tab) this.lines.delete(line);
    for (const lock of this.locks.values()) {
      lock.held = lock.held.filter((request) => request.tab !== tab);
      lock.queue = lock.queue.filter((request) => request.tab !== tab);
      this.serve(lock);
    }
  }
}

export class FakeTab {
  alive = true;
  frozen = false;
  /** While it is frozen it loses what others say; else that comes late. */
  forgets = false;
  visible = true;
  /** Its timers wait for a minute, as those of a page that was hidden for long. */
  throttled = false;
  client!: Client;
  readonly env: ShareOptions["env"];
  readonly stored: Map<string, string>;
  private readonly listeners = new Set<[PageEvent, (persisted: boolean) => void]>();
  private readonly sockets = new Set<Socket>();
  private waiting: (() => void)[] = [];
  private readonly browser: Browser;

  constructor(browser: Browser, stored: Map<string, string>) {
    this.browser = browser;
    this.stored = stored;
    const { world } = browser;
    const tab = this;
    const { WebSocket, fetch } = world.env as Required<Env>;
    this.env = {
      ...world.env,
      storage: {
        getItem: (key) => this.stored.get(key) ?? null,
        setItem: (key, value) => void this.stored.set(key, value),
        removeItem: (key) => void this.stored.delete(key),
      },
      setTimeout: (call, ms) =>
        world.env.setTimeout(() => this.run(call), this.throttled ? Math.max(ms, 60_000) : ms),
      fetch: ((url: string, init: RequestInit) =>
        new Promise((resolve, reject) => {
          (fetch as typeof globalThis.fetch)(url, init).then(
            (response) => this.run(() => resolve(response)),
            (error) => this.run(() => reject(error)),
          );
        })) as typeof globalThis.fetch,
      WebSocket: class extends (WebSocket as new (url: string) => Socket) {
        constructor(url: string) {
          super(url);
          tab.sockets.add(this);
          // What comes finds the listener that there is when the tab runs.
          for (const kind of ["onopen", "onmessage", "onclose"] as const) {
            let listener: ((event: never) => void) | null = null;
            Object.defineProperty(this, kind, {
              get: () => (event: never) => tab.run(() => listener?.(event)),
              set: (value) => {
                listener = value;
              },
            });
          }
        }
      },
      page: {
        visible: () => this.visible,
        listen: (kind, listener) => {
          const entry: [PageEvent, (persisted: boolean) => void] = [kind, listener];
          this.listeners.add(entry);
          return () => void this.listeners.delete(entry);
        },
      },
      BroadcastChannel: class {
        constructor(name: string) {
          // biome-ignore lint/correctness/noConstructorReturn: it is made by the browser
          return browser.line(name, tab);
        }
      } as new (
        name: string,
      ) => Bus,
      locks: {
        request: (name, options, call) => browser.request(this, name, options, call),
      },
    };
  }

  get isHolder(): boolean {
    return this.browser.holds(this);
  }

  /** What waits until it runs again. */
  get backlog(): number {
    return this.waiting.length;
  }

  /** Runs it, when the tab runs. */
  run(call: () => void): void {
    if (!this.alive) return;
    if (this.frozen) this.waiting.push(call);
    else call();
  }

  page(kind: PageEvent, persisted = false): void {
    for (const [other, listener] of [...this.listeners]) if (other === kind) listener(persisted);
  }

  show(visible: boolean): void {
    this.visible = visible;
    this.page("visibilitychange");
  }

  /** It is gone from one moment to the next, and its connections with it. */
  kill(): void {
    this.alive = false;
    for (const socket of this.sockets) socket.close();
    this.browser.forget(this);
  }

  /** No script runs any more; it keeps its locks and its connections. */
  freeze(forgets = false): void {
    this.frozen = true;
    this.forgets = forgets;
  }

  thaw(): void {
    this.frozen = false;
    for (const call of this.waiting.splice(0)) this.run(call);
  }
}
