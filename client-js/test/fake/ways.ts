/** States of a client, each with what leads to it. */
import { expect } from "vitest";
import type { Client, ConnectOptions, Transport } from "../../src/index.ts";
import type { World } from "./world.ts";

/** A state of a client: what leads to it. */
export type Way = readonly [name: string, lead: (world: World) => Promise<Client>];

const over = (transports: Transport[], options?: ConnectOptions) => (world: World) =>
  world.connect({ transports, ...options });

export const ways: Way[] = [
  ["not begun", async (world) => world.connect()],
  [
    "asking for a token",
    async (world) => {
      const client = world.connect({ auth: () => new Promise(() => undefined) });
      await world.advance(100);
      return client;
    },
  ],
  [
    "opening",
    async (world) => {
      world.fates.x = "hang";
      const client = world.connect();
      await world.advance(100);
      return client;
    },
  ],
  ...(["hang", "swallow"] as const).map(
    (fate): Way => [
      `racing a WebSocket that would ${fate}`,
      async (world) => {
        world.connect();
        await world.advance(1000);
        world.unload();
        world.stored.clear();
        world.fates.ws = fate;
        const client = world.connect();
        await world.advance(100);
        return client;
      },
    ],
  ),
  ...(["ws", "s", "e"] as const).flatMap((kind) =>
    (["hang", "swallow"] as const).map(
      (fate): Way => [
        `proving ${kind}, which would ${fate}`,
        async (world) => {
          for (const other of ["ws", "s", "e"] as const)
            world.fates[other] = other === kind ? fate : "refuse";
          const client = world.connect();
          await world.advance(500);
          expect(world.requests).toContain(kind);
          return client;
        },
      ],
    ),
  ),
  ...(["websocket", "stream", "sse", "poll"] as const).map(
    (transport): Way => [
      `carried by ${transport}, with something on its way up`,
      async (world) => {
        const client = over([transport])(world);
        await world.advance(1000);
        expect(client.transport).toBe(transport);
        void client
          .channel("chat:a")
          .publish(1)
          .catch(() => undefined);
        await world.advance(1);
        return client;
      },
    ],
  ),
  ...(["websocket", "stream", "sse", "poll"] as const).map(
    (transport): Way => [
      `reached again by an exchange that hangs, after ${transport}`,
      async (world) => {
        const client = over([transport, "poll"])(world);
        await world.advance(1000);
        world.fates.x = world.fates.ws = world.fates.s = world.fates.e = "hang";
        world.cut();
        await world.advance(1000);
        return client;
      },
    ],
  ),
  [
    "waiting for the next try",
    async (world) => {
      world.fates.x = world.fates.ws = "refuse";
      const client = world.connect();
      await world.advance(30_000);
      return client;
    },
  ],
  [
    "waiting for a portal to let it through",
    async (world) => {
      world.fates.x = "portal";
      world.fates.ws = "refuse";
      const client = world.connect();
      await world.advance(10_000);
      return client;
    },
  ],
  [
    "waiting for the next round of proofs",
    async (world) => {
      world.fates.ws = world.fates.s = world.fates.e = "refuse";
      const client = world.connect();
      await world.advance(60_000);
      return client;
    },
  ],
  [
    "about to replace a stream that would be cut at its age",
    async (world) => {
      world.fates.ws = "refuse";
      world.cutMs = 10_000;
      const client = over(["stream", "poll"])(world);
      await world.advance(60_000);
      expect(client.transport).toBe("stream");
      return client;
    },
  ],
  [
    "about to renew its token",
    async (world) => {
      world.gateway.hello = { expires_ms: 60_000 };
      const client = world.connect({ auth: async () => "token" });
      await world.advance(1000);
      return client;
    },
  ],
  [
    "about to ask for a subscription again",
    async (world) => {
      const client = world.connect();
      await world.advance(1000);
      client.channel("chat:a");
      await world.advance(1000);
      const code = "token_expired";
      world.session.push({ t: "unsubscribed", ch: "chat:a", code });
      await world.advance(100);
      return client;
    },
  ],
  [
    "about to end what the page before read",
    async (world) => {
      world
        .connect()
        .channel("chat:a")
        .on("event", () => undefined);
      await world.advance(1000);
      world.unload();
      const client = world.connect();
      await world.advance(1000);
      expect(world.gateway.sessions.size).toBe(1);
      return client;
    },
  ],
  [
    "holding a publish of unknown outcome",
    async (world) => {
      const client = world.connect();
      await world.advance(1000);
      world.gateway.publishErrors = Array(9).fill("unknown_outcome");
      void client
        .channel("chat:a")
        .publish(1)
        .catch(() => undefined);
      await world.advance(100);
      return client;
    },
  ],
  [
    "in a page that went away",
    async (world) => {
      const client = over(["stream"])(world);
      await world.advance(1000);
      world.pageVisible = false;
      world.page("visibilitychange");
      world.page("pagehide");
      world.page("freeze");
      return client;
    },
  ],
  [
    "moving to another transport",
    async (world) => {
      const client = over(["poll"])(world);
      await world.advance(1000);
      client.use(["stream"]);
      await world.advance(25);
      return client;
    },
  ],
  [
    "given a lock too late",
    async (world) => {
      world.lockMs = 50;
      const client = world.connect();
      await world.advance(50);
      return client;
    },
  ],
  [
    "failed",
    async (world) => {
      world.fates.x = world.fates.ws = "refuse";
      const client = world.connect({ maxRetries: 2 });
      await world.advance(60_000);
      expect(client.state).toBe("failed");
      return client;
    },
  ],
];
