/** What both the client and its core export beside what is their own. */
export type { Off } from "./emitter.ts";
export type { Env, Page, PageEvent, Socket, Source, Store } from "./env.ts";
export { ThroughlineError } from "./errors.ts";
export type { Json } from "./protocol/frames.ts";
