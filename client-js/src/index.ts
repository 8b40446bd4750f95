/** The client of a Throughline gateway. Importing it does nothing; {@link connect} begins. */
export type {
  Channel,
  ChannelEvent,
  ChannelEvents,
  Gap,
  History,
  HistoryOptions,
  Published,
  PublishOptions,
} from "./channel.ts";
export {
  type ChannelOptions,
  type Client,
  type ClientEvents,
  type ConnectOptions,
  connect,
  type UserPresence,
} from "./client.ts";
export type { Off } from "./emitter.ts";
export type { Env, Page, PageEvent, Socket, Source, Store } from "./env.ts";
export { type Retry, retryOf, ThroughlineError } from "./errors.ts";
export { type Feed, type FeedEvents, type FeedOptions, feed } from "./feed.ts";
export type { Presence, PresenceChange } from "./presence.ts";
export type { Json, Member } from "./protocol/frames.ts";
export type { State } from "./strategy/carrier.ts";
export type { Auth, AuthReason } from "./strategy/tokens.ts";
export type { Transport } from "./strategy/transport.ts";
