/**
 * The core of the client, small: one session over WebSockets and polls. What it has behaves as in the whole
 * client, from the same source; its build leaves the rest out.
 */
import type {
  Channel,
  ChannelEvents,
  ChannelOptions,
  Client,
  ConnectOptions,
  PublishOptions,
  Transport,
} from "./api.ts";
import { connect as connectClient } from "./client.ts";
import type { Off } from "./emitter.ts";
import type { Json } from "./protocol/frames.ts";

export type {
  Auth,
  AuthReason,
  ChannelEvent,
  ClientEvents,
  Gap,
  Published,
  State,
  Transport,
} from "./api.ts";
export * from "./common.ts";

type CoreChannelEvents = Omit<ChannelEvents, "presence">;

export type CorePublishOptions = Omit<PublishOptions, "signal">;

/** One channel of a client. */
export interface CoreChannel extends Pick<Channel, "name" | "position" | "unsubscribe"> {
  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof CoreChannelEvents>(
    kind: Kind,
    listener: (value: CoreChannelEvents[Kind]) => void,
  ): Off;
  /** As {@link Channel.publish}. */
  publish(data: Json, options?: CorePublishOptions): ReturnType<Channel["publish"]>;
}

/** One session with a gateway. */
export interface CoreClient extends Pick<Client, "state" | "transport" | "me" | "on" | "close"> {
  /** The channel of that name: subscribed on first use, and the same object after that. */
  channel(name: string, options?: Pick<ChannelOptions, "since">): CoreChannel;
}

export interface CoreOptions
  extends Pick<ConnectOptions, "auth" | "info" | "queue" | "maxRetries" | "backoff" | "env"> {
  /** The transports that may be used, best first. Default: both. */
  transports?: readonly Extract<Transport, "websocket" | "poll">[];
}

/**
 * Connects to a gateway. It starts at once, and goes on until it is closed.
 * @param url the gateway's path, absolute or relative to the page.
 * @throws {TypeError} where the url cannot be resolved.
 */
export const connect: (url: string, options?: CoreOptions) => CoreClient = connectClient;
