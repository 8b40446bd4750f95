/** A page, a network and a gateway in virtual time. The network does what the test tells it. */
import {
  type Client,
  type ConnectOptions,
  connect,
  type Env,
  type PageEvent,
  type Socket,
} from "../../src/index.ts";
import type { FrameUp } from "../../src/protocol/frames.ts";
import { Clock } from "./clock.ts";
import { Gateway } from "./gateway.ts";
import type { Down, GatewaySession, Sink } from "./session.ts";

/**
 * What the network does to one kind of connection. `swallow`: it opens, and nothing comes down. `portal`:
 * a page of its own is the answer. `late`: what a stream brings comes with what follows it.
 */
export type Fate = "ok" | "refuse" | "hang" | "swallow" | "portal" | "late";

export function decode(body: string): FrameUp[] {
  return JSON.parse(Buffer.from(body.slice(2), "base64url").toString());
}

export class World {
  readonly clock: Clock = new Clock();
  readonly gateway: Gateway = new Gateway(this.clock);
  readonly fates: Record<"ws" | "s" | "e" | "x", Fate> = { ws: "ok", s: "ok", e: "ok", x: "ok" };
  readonly lasting: Map<string, string> = new Map();
  readonly stored: Map<string, string> = new Map();
  readonly reports: unknown[] = [];
  readonly beacons: FrameUp[][] = [];
  /** What was requested: kinds in order. */
  readonly requests: string[] = [];
  /** Whether somebody between refuses this body, with a page of its own. */
  refuses: (frames: readonly FrameUp[]) => boolean = () => false;
  connecting = 0;
  /** Milliseconds each way. */
  latencyMs = 10;
  /** Milliseconds until a lock is given. */
  lockMs = 0;
  /** Requests that go into a dead connection before one comes through. */
  stalls = 0;
  /** Milliseconds at which the network cuts a stream. */
  cutMs: number = Infinity;
  /** Milliseconds from the beginning of each whole answer to its end. */
  answerMs: number = 0;
  /** Names under which a tab runs something alone. */
  readonly busy: Set<string> = new Set();
  /** Timers that a page has set and that are not due yet. */
  readonly timers: Set<unknown> = new Set();
  pageVisible = true;
  private readonly cuts = new Set<() => void>();
  private readonly listeners = new Set<[PageEvent, (persisted: boolean) => void]>();
  private seed = 1;

  /** From 0 to below 1, the same in each run. */
  random(): number {
    this.seed = (this.seed * 48271) % 2147483647;
    return this.seed / 2147483647;
  }

  private here: { alive: boolean } = { alive: true };
  /** The page's surroundings. After {@link unload} they are another page's. */
  env: Env = this.surroundings();

  private surroundings(): Env {
    const page = { alive: true };
    this.here = page;
    return {
      fetch: ((url: string, init: RequestInit) => this.fetch(url, init, page)) as typeof fetch,
      WebSocket: this.socketClass(page),
      EventSource: undefined,
      setTimeout: (call, ms) => {
        const timer = this.clock.setTimeout(() => {
          this.timers.delete(timer);
          if (page.alive) call();
        }, ms);
        this.timers.add(timer);
        return timer;
      },
      clearTimeout: (timer) => {
        this.timers.delete(timer);
        this.clock.clearTimeout(timer);
      },
      now: () => this.clock.now,
      random: () => this.random(),
      storage: {
        getItem: (key) => this.stored.get(key) ?? null,
        setItem: (key, value) => void this.stored.set(key, value),
        removeItem: (key) => void this.stored.delete(key),
      },
      lasting: {
        getItem: (key) => this.lasting.get(key) ?? null,
        setItem: (key, value) => void this.lasting.set(key, value),
        removeItem: (key) => void this.lasting.delete(key),
      },
      alone: async (name, run) => {
        if (this.busy.has(name)) return undefined;
        this.busy.add(name);
        if (this.lockMs) await new Promise<void>((resolve) => this.later(resolve, this.lockMs));
        return run().finally(() => this.busy.delete(name));
      },
      beacon: (url, body) => {
        this.beacons.push(decode(body));
        this.gateway.exchange(decode(body), url, () => undefined);
        return true;
      },
      page: {
        visible: () => this.pageVisible,
        listen: (kind, listener) => {
          const entry: [PageEvent, (persisted: boolean) => void] = [kind, listener];
          this.listeners.add(entry);
          return () => void this.listeners.delete(entry);
        },
      },
      base: undefined,
      report: (error) => void this.reports.push(error),
    };
  }

  connect(options: ConnectOptions = {}): Client {
    return connect("http://gateway.test/realtime", { env: this.env, ...options });
  }

  /** A client with time to have found its transport. */
  async connected(options?: ConnectOptions): Promise<Client> {
    const client = this.connect(options);
    await this.advance(500);
    return client;
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms);
  }

  /** Something happens to the page. */
  page(kind: PageEvent, persisted = false): void {
    for (const [other, listener] of [...this.listeners]) if (other === kind) listener(persisted);
  }

  /** The page goes away: its scripts, timers and connections end, and another one may come. */
  unload(goodbye: boolean = true): void {
    if (goodbye) this.page("pagehide");
    this.here.alive = false;
    this.listeners.clear();
    this.timers.clear();
    this.cut();
    this.env = this.surroundings();
  }

  /** Every connection ends, as if the network had gone. */
  cut(): void {
    for (const end of [...this.cuts]) end();
  }

  /** How many connections and requests are open. */
  get open(): number {
    return this.cuts.size;
  }

  /** The one session, or the latest. */
  get session(): GatewaySession {
    const [session] = [...this.gateway.sessions.values()].reverse();
    if (!session) throw new Error("no session");
    return session;
  }

  private later(call: () => void, ms: number = this.latencyMs): void {
    this.clock.setTimeout(call, ms);
  }

  private fetch(url: string, init: RequestInit, page: { alive: boolean }): Promise<Response> {
    const [nonce = "", kind = ""] = url.split("/").slice(-2);
    this.requests.push(kind);
    const fate = this.fates[kind as "x"];
    return new Promise((resolve, reject) => {
      const fail = (): void => {
        this.cuts.delete(fail);
        if (page.alive) reject(new TypeError("Failed to fetch"));
      };
      this.cuts.add(fail);
      init.signal?.addEventListener("abort", fail);
      if (fate === "refuse") this.later(fail);
      if (fate === "refuse" || fate === "hang" || this.stalls-- > 0) return;
      if (fate === "portal") {
        this.later(() => {
          if (this.cuts.delete(fail)) resolve(new Response("<title>Log in</title>"));
        });
        return;
      }
      const frames = decode(String(init.body));
      this.later(() => {
        if (!this.cuts.has(fail)) return;
        if (this.refuses(frames)) {
          this.cuts.delete(fail);
          resolve(new Response("<html>Forbidden</html>", { status: 403 }));
          return;
        }
        if (kind === "x") {
          this.gateway.exchange(frames, nonce, (down) => {
            const text = JSON.stringify(down);
            this.later(() => {
              if (this.cuts.delete(fail)) resolve(this.answer(text, init.signal));
            });
          });
          return;
        }
        this.cuts.delete(fail);
        resolve(this.streamResponse(frames, nonce, kind, init.signal, fate));
      });
    });
  }

  /** A whole answer, at once or slowly. */
  private answer(text: string, signal: AbortSignal | null | undefined): Response {
    if (this.answerMs === 0) return new Response(text);
    const start = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      const end = (): void => {
        if (this.cuts.delete(end)) controller.error(new TypeError("network error"));
      };
      this.cuts.add(end);
      signal?.addEventListener("abort", end);
      this.clock.setTimeout(() => {
        if (!this.cuts.delete(end)) return;
        controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      }, this.answerMs);
    };
    return new Response(new ReadableStream({ start }));
  }

  private streamResponse(
    frames: FrameUp[],
    nonce: string,
    kind: string,
    signal: AbortSignal | null | undefined,
    fate: Fate,
  ): Response {
    let over = false;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const end = (): void => {
          if (over) return;
          over = true;
          this.cuts.delete(end);
          controller.error(new TypeError("network error"));
        };
        this.cuts.add(end);
        signal?.addEventListener("abort", end);
        if (this.cutMs < Infinity) this.clock.setTimeout(end, this.cutMs);
        const [first] = frames;
        const fills = first && "l" in first && first.l === "candidate" && first.filler;
        let held: string | undefined;
        const down = (text: string): void => {
          const piece = fate === "late" ? held : text;
          held = text;
          if (!over && piece) controller.enqueue(new TextEncoder().encode(piece));
        };
        const sink: Sink = {
          via: `n1.${nonce}`,
          send: (frame) => {
            const text =
              kind === "e" ? `data: ${JSON.stringify(frame)}\n\n` : `${JSON.stringify(frame)}\n`;
            if (fate !== "swallow") {
              this.later(() => down(text));
              if (fills) this.clock.setTimeout(() => down('{"l":"filler"}\n'), this.latencyMs + 30);
            }
          },
          close: () => this.later(end),
        };
        if (frames[0]) this.gateway.stream(frames[0], nonce, sink);
      },
    });
    return new Response(body);
  }

  private socketClass(page: { alive: boolean }): new (url: string) => Socket {
    const world = this;
    return class implements Socket {
      onopen: Socket["onopen"] = null;
      onmessage: Socket["onmessage"] = null;
      onclose: Socket["onclose"] = null;
      onerror: Socket["onerror"] = null;
      private session: GatewaySession | undefined;
      private state: "connecting" | "open" | "closed" | "over" = "connecting";
      private readonly nonce: string;
      private readonly sink: Sink;

      constructor(url: string) {
        world.requests.push("ws");
        this.nonce = url.split("/").slice(-2)[0] ?? "";
        const fate = world.fates.ws;
        this.sink = {
          via: `n1.${this.nonce}`,
          send: (frame: Down) => {
            if (fate !== "swallow") world.later(() => this.message(JSON.stringify(frame)));
          },
          close: () => world.later(this.end),
        };
        world.cuts.add(this.end);
        world.connecting++;
        if (fate === "refuse") world.later(this.end);
        else if (fate !== "hang") world.later(this.opens);
      }

      private readonly opens = (): void => {
        if (this.state !== "connecting") return;
        world.connecting--;
        this.state = "open";
        this.onopen?.({} as never);
      };

      private readonly end = (): void => {
        if (this.state === "over" || this.state === "closed") return;
        if (this.state === "connecting") world.connecting--;
        this.state = "over";
        world.cuts.delete(this.end);
        if (page.alive) this.onclose?.({ code: 1006, reason: "" });
      };

      private message(data: string): void {
        if (this.state === "open") this.onmessage?.({ data });
      }

      send(text: string): void {
        if (this.state !== "open") return;
        world.later(() => {
          if (this.state === "over") return;
          const frame = JSON.parse(text);
          this.session = world.gateway.socket(frame, this.nonce, this.sink, this.session);
        });
      }

      close(): void {
        if (this.state === "connecting") world.connecting--;
        // What was sent before is still delivered.
        this.state = "closed";
        world.cuts.delete(this.end);
      }
    };
  }
}
