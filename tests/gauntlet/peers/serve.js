/**
 * A server of another library, which greets whoever connects, and says the time: `node serve.js socketio|sockjs`.
 * Prints its port.
 */
import http from "node:http";
import { Server } from "socket.io";
import sockjs from "sockjs";

const server = http.createServer((_, response) => response.writeHead(404).end());

/** ms between two ticks. */
const TICK_MS = 500;
const tick = () => ({ at: Date.now() });

const START = {
  socketio() {
    const io = new Server(server, { cors: { origin: "*" } });
    io.on("connection", (socket) => socket.emit("hello"));
    setInterval(() => io.emit("tick", tick()), TICK_MS);
  },
  sockjs() {
    const echo = sockjs.createServer({ log: () => undefined });
    echo.on("connection", (connection) => {
      if (!connection) return;
      connection.write("{}");
      const timer = setInterval(() => connection.write(JSON.stringify(tick())), TICK_MS);
      connection.on("close", () => clearInterval(timer));
    });
    echo.installHandlers(server, { prefix: "/sockjs" });
  },
};

START[process.argv[2]]();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
