/**
 * What runs in the page for each library, with what its own documentation recommends for networks
 * that refuse WebSocket. They stand alone: they are sent there as text. Each calls `first` when its
 * server's first message is there, and returns what names the transport.
 */

/** Ours: the first event of a channel. */
export function throughline(base, first) {
  const client = globalThis.Throughline.connect(`${base}/realtime`);
  client.channel("chat:first", { since: "0" }).on("event", first);
  return () => client.transport;
}

/** Its defaults: polls, then WebSocket. */
export function socketio(base, first) {
  const socket = globalThis.io(base);
  socket.on("hello", first);
  return () => socket.io.engine?.transport.name;
}

/** WebSocket first, as it is often set for speed. */
export function socketioWebSocket(base, first) {
  const options = { transports: ["websocket", "polling"], tryAllTransports: true };
  const socket = globalThis.io(base, options);
  socket.on("hello", first);
  return () => socket.io.engine?.transport.name;
}

/** Its defaults. */
export function sockjs(base, first) {
  const socket = new globalThis.SockJS(`${base}/sockjs`);
  socket.onmessage = first;
  return () => socket.transport;
}

/** All its transports in the order of its documentation; the answer to connecting is the first message. */
export function centrifugo(base, first) {
  const endpoints = [
    { transport: "websocket", endpoint: `${base.replace("http", "ws")}/connection/websocket` },
    { transport: "http_stream", endpoint: `${base}/connection/http_stream` },
    { transport: "sse", endpoint: `${base}/connection/sse` },
  ];
  const client = new globalThis.Centrifuge(endpoints, { emulationEndpoint: `${base}/emulation` });
  let transport;
  client.on("connected", (context) => {
    transport = context.transport;
    first();
  });
  client.connect();
  return () => transport;
}

/** How a page measures: what it was told of, since `begin`. */
export function install(base, connect) {
  const seen = { firstMs: null };
  let name = () => undefined;
  globalThis.peer = {
    begin() {
      const start = globalThis.performance.now();
      name = connect(base, () => {
        seen.firstMs ??= Math.round(globalThis.performance.now() - start);
      });
    },
    seen: () => ({ ...seen, transport: name() ?? null }),
  };
}
