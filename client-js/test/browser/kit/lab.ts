/** What runs in the page: it holds one client, and notes in order everything that it tells. */
import type {
  ChannelEvent,
  ChannelOptions,
  Client,
  ConnectOptions,
  Gap,
  State,
  Transport,
} from "../../../src/index.ts";

export type Note =
  | { kind: "event"; channel: string; event: ChannelEvent }
  | { kind: "presence"; channel: string; change: string; id?: string; state?: string }
  | { kind: "subscribed"; channel: string }
  | { kind: "state"; state: State; transport: Transport | null; reason?: string }
  | { kind: "resumed"; recovered: boolean }
  | { kind: "caught_up" }
  | { kind: "gap"; gap: Gap }
  | { kind: "skipped"; count: number }
  | { kind: "error"; code: string };

export interface Lab {
  /** Everything that was told, first to last. */
  readonly notes: Note[];
  client: Client;
  /** Connects, or takes a client that is there, and listens to it. */
  connect(options: ConnectOptions | Client): void;
  /** Subscribes, and listens. */
  join(channel: string, options?: ChannelOptions): void;
}

declare global {
  var lab: Lab;
  var Throughline: typeof import("../../../src/tabs/page.ts") &
    typeof import("../../../src/feed.ts");
}

/** Puts `lab` into the page. It stands alone: it is sent there as text. */
export function installLab(): void {
  const notes: Note[] = [];
  const watch = (client: Client): Client => {
    client.on("state", ({ state, transport, reason }) =>
      notes.push({ kind: "state", state, transport, ...(reason === undefined ? {} : { reason }) }),
    );
    client.on("resumed", ({ recovered }) => notes.push({ kind: "resumed", recovered }));
    client.on("caught_up", () => notes.push({ kind: "caught_up" }));
    client.on("gap", (gap) => notes.push({ kind: "gap", gap }));
    client.on("skipped", ({ count }) => notes.push({ kind: "skipped", count }));
    client.on("error", ({ code }) => notes.push({ kind: "error", code }));
    return client;
  };
  const lab: Omit<Lab, "client"> & { client?: Client } = {
    notes,
    connect(options) {
      const given = "channel" in options;
      lab.client = watch(given ? options : Throughline.connect("/realtime", options));
    },
    join(name, options) {
      const channel = lab.client?.channel(name, options);
      channel?.on("subscribed", () => notes.push({ kind: "subscribed", channel: name }));
      channel?.on("event", (event) => notes.push({ kind: "event", channel: name, event }));
      channel?.on("presence", ({ kind: change, member }) =>
        notes.push({
          kind: "presence",
          channel: name,
          change,
          ...(member && { id: member.id, state: member.state }),
        }),
      );
    },
  };
  globalThis.lab = lab as Lab;
}
