/** The libraries that are compared: how each is started, and what its page loads. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { RESULTS } from "../lib/cells.js";
import * as parts from "../lib/parts.js";
import * as pages from "./pages.js";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const REDIS_PORT = 21_301;
/** Where `make peers` puts it. */
const CENTRIFUGO = `${RESULTS}/bin/centrifugo`;
const CENTRIFUGO_PORT = 21_310;

const library = (path) => () => readFileSync(`${HERE}node_modules/${path}`, "utf8");

const node = (name) => (many) =>
  Promise.all(Array.from({ length: many }, () => parts.line("node", [`${HERE}serve.js`, name])));

async function throughline(many) {
  const settings = {};
  if (many > 1) settings.THROUGHLINE_ENGINE__URL = await parts.redis(REDIS_PORT);
  const gateways = [];
  while (gateways.length < many) gateways.push(await parts.gateway(settings));
  await parts.publish(gateways[0].base, "chat:first", { n: 0 });
  return gateways.map(({ port }) => port);
}

async function centrifugo(many, run) {
  const shared = many > 1 ? await parts.redis(REDIS_PORT) : null;
  const config = {
    client: { insecure: true, allowed_origins: ["*"] },
    http_stream: { enabled: true },
    sse: { enabled: true },
    ...(shared && { engine: { type: "redis", redis: { address: shared } } }),
  };
  const file = `${run}/centrifugo.json`;
  writeFileSync(file, JSON.stringify(config));
  const ports = Array.from({ length: many }, (_, index) => CENTRIFUGO_PORT + index);
  for (const port of ports) {
    parts.start(CENTRIFUGO, ["-c", file, "--http_server.port", `${port}`], {});
    if (!(await parts.until(20_000, () => parts.answers(port)))) throw new Error("no Centrifugo");
  }
  return ports;
}

const io = library("socket.io-client/dist/socket.io.min.js");

/** By id: its name, what starts so many servers and answers their ports, what its page loads and does. */
export const PEERS = {
  throughline: {
    name: "Throughline",
    start: throughline,
    library: () => `${parts.built("iife.js")}\nglobalThis.Throughline = Throughline;`,
    page: pages.throughline,
  },
  socketio: { name: "Socket.IO", start: node("socketio"), library: io, page: pages.socketio },
  "socketio-ws": {
    name: "Socket.IO, WebSocket first",
    start: node("socketio"),
    library: io,
    page: pages.socketioWebSocket,
  },
  sockjs: {
    name: "SockJS",
    start: node("sockjs"),
    library: library("sockjs-client/dist/sockjs.min.js"),
    page: pages.sockjs,
  },
  centrifugo: {
    name: "Centrifugo",
    start: centrifugo,
    library: library("centrifuge/dist/centrifuge.js"),
    page: pages.centrifugo,
  },
};

/** What a page of this library loads. */
export function script({ library, page }, base) {
  return `${library()}\n(${pages.install})(${JSON.stringify(base)}, ${page});`;
}
