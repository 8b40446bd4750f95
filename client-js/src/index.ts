/** The client of a Throughline gateway. Importing it does nothing; {@link connect} begins. */
export type {
  Auth,
  AuthReason,
  Channel,
  ChannelEvent,
  ChannelEvents,
  ChannelOptions,
  Client,
  ClientEvents,
  ConnectOptions,
  Evidence,
  Feed,
  FeedEvent,
  FeedEvents,
  FeedOptions,
  Gap,
  History,
  HistoryOptions,
  Observation,
  Outcome,
  Presence,
  PresenceChange,
  Published,
  PublishOptions,
  State,
  Transport,
  UserPresence,
} from "./api.ts";
export { connect } from "./client.ts";
export type { Off } from "./emitter.ts";
export type { Env, Page, PageEvent, Socket, Source, Store } from "./env.ts";
export { ThroughlineError } from "./errors.ts";
export { feed } from "./feed.ts";
export type { Json, Member } from "./protocol/frames.ts";
