/** The kinds of a link, in the order in which they are preferred. */
export type Transport = "websocket" | "stream" | "sse" | "poll";

export const TRANSPORTS: readonly Transport[] = ["websocket", "stream", "sse", "poll"];
