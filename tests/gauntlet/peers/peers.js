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

/** A server of Node.js, which ticks by itself. */
const node = (name) => async (many) => {
  const one = () => parts.line("node", [`${HERE}serve.js`, name]);
  return { ports: await Promise.all(Array.from({ length: many }, one)), tick: () => undefined };
};

async function throughline(many) {
  const settings = {};
  if (many > 1) settings.THROUGHLINE_ENGINE__URL = await parts.redis(REDIS_PORT);
  const gateways = [];
  while (gateways.length < many) gateways.push(await parts.gateway(settings));
  const { base } = gateways[0];
  await parts.publish(base, "chat:first", {});
  const tick = () => parts.publish(base, "chat:first", { at: Date.now() });
  return { ports: gateways.map(({ port }) => port), tick };
}

async function centrifugo(many, run) {
  const shared = many > 1 ? await parts.redis(REDIS_PORT) : null;
  const config = {
    client: { insecure: true, allowed_origins: ["*"] },
    channel: { without_namespace: { allow_subscribe_for_client: true } },
    http_api: { insecure: true },
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
  const headers = { "content-type": "application/json" };
  const tick = () => {
    const body = JSON.stringify({ channel: "ticks", data: { at: Date.now() } });
    return fetch(`http://127.0.0.1:${ports[0]}/api/publish`, { method: "POST", headers, body });
  };
  return { ports, tick };
}

const io = library("socket.io-client/dist/socket.io.min.js");

/** By id: its name, what starts so many servers and answers their ports and what makes one tick, what its page loads and does. */
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
