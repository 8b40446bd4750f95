/**
 * What runs in the page for each library, with what its own documentation recommends for networks
 * that refuse WebSocket. They stand alone: they are sent there as text. Each calls `told` with each
 * message of its server, the first of which greets and the others of which say when they were sent;
 * and returns what names the transport.
 */

/** Ours: events of a channel. */
export function throughline(base, told) {
  const client = globalThis.Throughline.connect(`${base}/realtime`);
  client.channel("chat:first", { since: "0" }).on("event", ({ data }) => told(data));
  return () => client.transport;
}

/** Its defaults: polls, then WebSocket. */
export function socketio(base, told) {
  const socket = globalThis.io(base);
  socket.on("hello", () => told({}));
  socket.on("tick", told);
  return () => socket.io.engine?.transport.name;
}

/** WebSocket first, as it is often set for speed. */
export function socketioWebSocket(base, told) {
  const options = { transports: ["websocket", "polling"], tryAllTransports: true };
  const socket = globalThis.io(base, options);
  socket.on("hello", () => told({}));
  socket.on("tick", told);
  return () => socket.io.engine?.transport.name;
}

/** Its defaults. */
export function sockjs(base, told) {
  const socket = new globalThis.SockJS(`${base}/sockjs`);
  socket.onmessage = ({ data }) => told(JSON.parse(data));
  return () => socket.transport;
}

/** All its transports in the order of its documentation; the answer to connecting greets. */
export function centrifugo(base, told) {
  const endpoints = [
    { transport: "websocket", endpoint: `${base.replace("http", "ws")}/connection/websocket` },
    { transport: "http_stream", endpoint: `${base}/connection/http_stream` },
    { transport: "sse", endpoint: `${base}/connection/sse` },
  ];
  const client = new globalThis.Centrifuge(endpoints, { emulationEndpoint: `${base}/emulation` });
  let transport;
  client.on("connected", (context) => {
    transport = context.transport;
    told({});
  });
  const subscription = client.newSubscription("ticks");
  subscription.on("publication", ({ data }) => told(data));
  subscription.subscribe();
  client.connect();
  return () => transport;
}

/** How a page measures: what it was told of, since `begin`. */
export function install(base, connect) {
  const seen = { firstMs: null, lateMs: [] };
  let name = () => undefined;
  globalThis.peer = {
    begin() {
      const start = globalThis.performance.now();
      name = connect(base, ({ at }) => {
        seen.firstMs ??= Math.round(globalThis.performance.now() - start);
        if (at) seen.lateMs.push(Date.now() - at);
      });
    },
    seen: () => ({ ...seen, transport: name() ?? null }),
  };
}
