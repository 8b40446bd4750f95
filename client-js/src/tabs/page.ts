/** What a page loads with one script tag instead of the client: the client, and sharing. */
export { connect, ThroughlineError } from "../page.ts";
export { connectShared } from "./index.ts";
