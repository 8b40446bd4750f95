/**
 * Tabs that share one session: one of them holds it, by a Web Lock, and speaks to the others over a
 * BroadcastChannel. The interface is that of `connect`.
 */
import type { Client, ClientEvents, ConnectOptions } from "../api.ts";
import { connect } from "../client.ts";
import { createEmitter, type Off } from "../emitter.ts";
import { createEnv, type Env, whenAborted } from "../env.ts";
import { resolveBase } from "../transports/address.ts";
import { createGroup } from "./group.ts";
import { LOCAL } from "./port.ts";
import type { Status } from "./wire.ts";

/** The part of a `BroadcastChannel` that is used. */
export interface Bus {
  onmessage: ((event: never) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** The part of `navigator.locks` that is used. */
export interface Locks {
  request(
    name: string,
    options: { mode?: "shared" | "exclusive"; steal?: boolean; signal?: AbortSignal },
    call: () => Promise<void> | undefined,
  ): Promise<unknown>;
}

/** What sharing needs of the page, beside what the client does. */
export interface TabsEnv {
  BroadcastChannel: (new (name: string) => Bus) | undefined;
  locks: Locks | undefined;
}

export interface ShareOptions extends ConnectOptions {
  /**
   * Whose session it is: tabs share where it is the same. Default: the `sub` of the token; without `auth`
   * everybody is one. A token without a `sub` shares with nobody. Needed where a cookie says who it is.
   */
  subject?: string;
  env?: Partial<Env & TabsEnv>;
}

/**
 * Connects to a gateway, by the session of another tab of this origin where one has it for the same
 * gateway and subject. Where a page has no Web Locks or no BroadcastChannel it connects by itself.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export function connectShared(url: string, options: ShareOptions = {}): Client {
  const all = globalThis as Partial<typeof globalThis>;
  const { BroadcastChannel, locks }: TabsEnv = {
    BroadcastChannel: all.BroadcastChannel,
    locks: all.navigator?.locks,
    ...options.env,
  };
  if (!BroadcastChannel || !locks) return connect(url, options);

  const env = createEnv(options.env);
  const base = resolveBase(url, env.base);
  const own = createEmitter<Pick<ClientEvents, "state" | "resumed" | "error">>(env.report);
  let status: Status = { state: "connecting", transport: null };
  let closed: Promise<void> | undefined;
  let off: Off | undefined;

  const tell = (now: Status): void => {
    const { state, transport, reason } = now;
    const isNews =
      state !== status.state ||
      transport !== status.transport ||
      (reason && reason !== status.reason);
    status = { ...now, me: now.me ?? status.me };
    if (isNews) own.emit("state", { state, transport, reason });
  };

  const group = createGroup(env, { BroadcastChannel, locks }, base, options, {
    status(now) {
      if (closed) return;
      tell(now);
      if (now.state === "failed") {
        closed = group.leave();
        void inner.close();
      }
    },
    lost() {
      if (status.state === "connected") tell({ state: "reconnecting", transport: null });
    },
    resumed: (value) => own.emit("resumed", value),
    trouble: (error) => own.emit("error", error),
  });

  const { resume = true, queue = 1000 } = options;
  const inner = connect(url, {
    resume,
    queue,
    transports: ["websocket"],
    backoff: { base: 0, cap: 0 },
    env: {
      ...options.env,
      WebSocket: group.Socket,
      fetch: undefined,
      beacon: () => true,
      // What the holder learns of the network is not about this gateway in the page.
      lasting: undefined,
      alone: (_, run) => run(),
      // A hidden page's timers wait for up to a minute; what is due at once is not to.
      setTimeout: (call, ms) => (ms > 0 ? env.setTimeout(call, ms) : queueMicrotask(call)),
    },
  });

  const client: Client = {
    get state() {
      return status.state;
    },
    get transport() {
      return status.transport;
    },
    get me() {
      return status.me ?? null;
    },
    on(kind, listener) {
      if (kind === "state" || kind === "resumed") return own.on(kind, listener as () => void);
      const off = inner.on(kind, (value) => {
        if ((value as { code?: string }).code !== LOCAL) listener(value);
      });
      const offOwn = kind === "error" && own.on(kind, listener as () => void);
      return () => {
        off();
        if (offOwn) offOwn();
      };
    },
    channel: inner.channel,
    use: (transports) => group.post({ transports }),
    cut: () => group.post({ cut: true }),
    away: inner.away,
    evidence: inner.evidence,
    presence: inner.presence,
    feedTicket: inner.feedTicket,
    async close() {
      if (!closed) {
        off?.();
        void inner.close();
        closed = group.leave();
        tell({ state: "closed", transport: null });
      }
      await closed;
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
  off = whenAborted(options.signal, client.close);
  return client;
}
