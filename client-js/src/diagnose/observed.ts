/** What the probes saw, as plain values: what {@link import("./findings.ts").findings} judges. Times are milliseconds. */

/** How one exchange ended. */
export interface ExchangeSeen {
  /**
   * `ok`: answered by the gateway. `refused`: by the gateway, with a code. `foreign`: by somebody else, or with an
   * answer to another request. `failed`: the browser says no more than that. `hung`: nothing within the time given.
   */
  readonly result: "ok" | "refused" | "foreign" | "failed" | "hung";
  readonly ms: number;
  /** The HTTP status, where the page may see it. */
  readonly status?: number | undefined;
  /** The media type, where the page may see it. */
  readonly type?: string | undefined;
  /** The gateway's code. */
  readonly code?: string | undefined;
}

/** One message that was asked for on a stream or a WebSocket. */
export interface EchoSeen {
  /** When it was asked for, since the connection began. */
  readonly sentMs: number;
  /** When it came. */
  readonly cameMs?: number | undefined;
}

/** How one connection went. Times count from its beginning. */
export interface LinkSeen {
  /** Whether this browser has it at all. */
  readonly present: boolean;
  /** The WebSocket opened, or the headers of a stream came. */
  readonly openMs?: number | undefined;
  /** The first byte of a body came. */
  readonly byteMs?: number | undefined;
  /** The gateway's hello, with our nonce, was complete. */
  readonly helloMs?: number | undefined;
  /** It ended before the probe was over. */
  readonly endedMs?: number | undefined;
  /** The HTTP status of a stream, where the page may see it. */
  readonly status?: number | undefined;
  /** Bytes of the body. */
  readonly bytes: number;
  /** Whether what came is not the gateway's. */
  readonly foreign: boolean;
  /** What was asked for, one after the other. */
  readonly echoes: readonly EchoSeen[];
}

export interface Observed {
  /** The gateway's path. */
  readonly url: string;
  /** What the browser calls itself. */
  readonly agent: string;
  /** Whether the page is of the gateway's origin: then it may see statuses. */
  readonly sameOrigin: boolean;
  /** Whether the gateway is asked over TLS. */
  readonly secure: boolean;
  /** The exchange that opens a session, as the client sends it. */
  readonly open: ExchangeSeen;
  /** A second one: the round trip on a warm connection. */
  readonly warm?: ExchangeSeen | undefined;
  /** A GET of the gateway, where no POST came through. */
  readonly get?: ExchangeSeen | undefined;
  /** Whether anything answers there at all, where neither came through: a request whose answer is not read. */
  readonly anything?: ExchangeSeen | undefined;
  readonly websocket: LinkSeen;
  readonly stream?: LinkSeen | undefined;
  readonly sse?: LinkSeen | undefined;
  /** A poll that the gateway holds for {@link Observed.holdMs}. */
  readonly poll?: ExchangeSeen | undefined;
  readonly holdMs: number;
  /** Bodies of other kinds than the client's own. */
  readonly bodies?:
    | { readonly large: ExchangeSeen; readonly text: ExchangeSeen; readonly json: ExchangeSeen }
    | undefined;
}

/** Bytes of the large body. */
export const LARGE_BYTES: number = 48_000;
/** Milliseconds that an exchange may take beyond what it is held. */
export const EXCHANGE_MS: number = 8000;
/** Milliseconds that a connection may take to open, and then to say hello. */
export const STEP_MS: number = 4000;
