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
export * from "./common.ts";
export { feed } from "./feed.ts";
export type { Member } from "./protocol/frames.ts";
