/** What a page loads with one script tag: the client. The plain feed is a script of its own (ADR 0013). */
export { connect } from "./client.ts";
export { ThroughlineError } from "./errors.ts";
