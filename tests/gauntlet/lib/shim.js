/**
 * Middleboxes that no software at hand behaves like: a reverse proxy from PORT to ORIGIN_PORT.
 * `node shim.js POLICY [--upgrade=pass|refuse|hang]`.
 */
import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { far, maxFrame, quota, slow } from "./tcp.js";

const [policy = "plain", upgrade = "--upgrade=pass"] = process.argv.slice(2);
const PORT = Number(process.env.PORT);
const ORIGIN = { host: "127.0.0.1", port: Number(process.env.ORIGIN_PORT) };
const LARGE_BYTES = 2 * 1024 * 1024;

/** Headers without those of one hop. */
const passed = ({ connection, "keep-alive": _, "transfer-encoding": __, ...headers }) => headers;

const head = (from, to) => to.writeHead(from.statusCode, passed(from.headers));

/** Nothing, not even a status, until `bytes` are there or the answer ends. */
function stored(from, to, bytes) {
  let parts = [];
  let held = 0;
  let isOpen = false;
  const open = () => {
    isOpen = true;
    head(from, to);
    for (const part of parts) to.write(part);
    parts = [];
  };
  from.on("data", (part) => {
    if (isOpen) return to.write(part);
    parts.push(part);
    held += part.length;
    if (held >= bytes) open();
  });
  from.on("end", () => {
    if (!isOpen) open();
    to.end();
  });
}

/** Each part is held until something follows it. */
function oneLate(from, to) {
  head(from, to);
  let held;
  from.on("data", (part) => {
    if (held) to.write(held);
    held = part;
  });
  from.on("end", () => to.end(held));
}

/** What came is handed on every `every` ms. */
function timed(from, to, every) {
  head(from, to);
  let parts = [];
  const flush = () => {
    for (const part of parts) to.write(part);
    parts = [];
  };
  const timer = setInterval(flush, every);
  from.on("data", (part) => parts.push(part));
  from.on("end", () => {
    flush();
    to.end();
  });
  to.on("close", () => clearInterval(timer));
}

/** One byte a second while an antivirus looks, the rest at the end. */
function trickled(from, to) {
  head(from, to);
  if (Number(from.headers["content-length"]) < 65_536) return from.pipe(to);
  to.flushHeaders();
  let held = Buffer.alloc(0);
  const timer = setInterval(() => {
    if (held.length > 0) to.write(held.subarray(0, 1));
    held = held.subarray(1);
  }, 1000);
  from.on("data", (part) => {
    held = Buffer.concat([held, part]);
  });
  from.on("end", () => to.end(held));
  to.on("close", () => clearInterval(timer));
}

function streamed(from, to) {
  head(from, to);
  to.flushHeaders();
  from.pipe(to);
}

const isEvents = (from) => /^text\/event-stream/.test(from.headers["content-type"] ?? "");

const POLICIES = {
  plain: streamed,
  "by-size": (from, to) => stored(from, to, LARGE_BYTES),
  "one-late": oneLate,
  timed: (from, to) => timed(from, to, 3000),
  trickled,
  "events-only": (from, to) => (isEvents(from) ? streamed(from, to) : stored(from, to, Infinity)),
  "post-only": (from, to, { method }) =>
    method === "POST" ? streamed(from, to) : stored(from, to, Infinity),
};

/** Each POST reaches the gateway twice: what it answered first is lost on the way. */
function repeating() {
  const send = ({ method, url: path, headers }, body, onAnswer) => {
    const again = { ...headers, connection: "close", "content-length": body.length };
    const out = http.request({ ...ORIGIN, method, path, headers: again }, onAnswer);
    out.end(body);
    return out;
  };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const hand = () => {
      const out = send(request, body, (answer) => streamed(answer, response));
      out.on("error", () => response.destroy());
      response.on("close", () => out.destroy());
    };
    if (request.method !== "POST") return hand();
    const first = send(request, body, () => {
      first.destroy();
      hand();
    });
    first.on("error", () => undefined);
  });
  server.on("upgrade", (_, client) => client.resetAndDestroy());
  server.requestTimeout = 0;
  server.listen(PORT, "127.0.0.1");
}

/** HTTP/2 alone, over TLS: no Upgrade, no extended CONNECT. */
function onlyH2() {
  const { TLS } = process.env;
  const key = readFileSync(`${TLS}/gateway.key`);
  const cert = readFileSync(`${TLS}/gateway.crt`);
  const server = http2.createSecureServer({ key, cert, allowHTTP1: false }, (request, response) => {
    const { method, url: path } = request;
    const plain = Object.entries(request.headers).filter(([name]) => !name.startsWith(":"));
    const headers = { ...Object.fromEntries(plain), host: request.authority, connection: "close" };
    const out = http.request({ ...ORIGIN, method, path, headers }, (answer) => {
      streamed(answer, response);
    });
    out.on("error", () => response.stream?.close());
    response.on("close", () => out.destroy());
    request.pipe(out);
  });
  server.listen(PORT, "127.0.0.1");
}

function relay() {
  const apply = POLICIES[policy];
  if (!apply) throw new Error(`no policy ${policy}`);
  const server = http.createServer((request, response) => {
    const { method, url: path } = request;
    const headers = { ...request.headers, connection: "close" };
    const out = http.request({ ...ORIGIN, method, path, headers }, (answer) => {
      answer.on("error", () => response.destroy());
      answer.on("aborted", () => response.destroy());
      apply(answer, response, request);
    });
    out.on("error", () => {
      if (!response.headersSent) response.writeHead(502);
      response.end();
    });
    response.on("close", () => out.destroy());
    request.pipe(out);
  });
  server.on("upgrade", (request, client, first) => {
    client.on("error", () => client.destroy());
    if (upgrade === "--upgrade=hang") return;
    if (upgrade === "--upgrade=refuse") {
      client.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const out = net.connect(ORIGIN);
    out.write(`GET ${request.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
    out.write(first);
    tie(client, out);
    client.pipe(out);
    out.pipe(client);
  });
  server.requestTimeout = 0;
  server.listen(PORT, "127.0.0.1");
}

function tie(client, out) {
  client.on("error", () => out.destroy());
  out.on("error", () => client.destroy());
  client.on("close", () => out.destroy());
  out.on("close", () => client.destroy());
}

/** Connections without any idea of HTTP. */
function tcp(onConnection) {
  const server = net.createServer({ noDelay: true }, (client) => {
    const out = net.connect({ ...ORIGIN, noDelay: true });
    tie(client, out);
    onConnection(client, out);
  });
  server.listen(PORT, "127.0.0.1");
}

if (policy === "tcp") {
  tcp((client, out) => {
    client.pipe(out);
    out.pipe(client);
  });
} else if (policy === "slow") tcp(slow);
else if (policy === "far") tcp(far);
else if (policy === "quota") tcp(quota);
else if (policy === "max-frame") tcp(maxFrame);
else if (policy === "repeating") repeating();
else if (policy === "only-h2") onlyH2();
else relay();
