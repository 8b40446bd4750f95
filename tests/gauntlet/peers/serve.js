/**
 * A server of another library, which greets whoever connects: `node serve.js socketio|sockjs`.
 * Prints its port.
 */
import http from "node:http";
import { Server } from "socket.io";
import sockjs from "sockjs";

const server = http.createServer((_, response) => response.writeHead(404).end());

const START = {
  socketio() {
    const io = new Server(server, { cors: { origin: "*" } });
    io.on("connection", (socket) => socket.emit("hello", { n: 0 }));
  },
  sockjs() {
    const echo = sockjs.createServer({ log: () => undefined });
    echo.on("connection", (connection) => connection?.write('{"n":0}'));
    echo.installHandlers(server, { prefix: "/sockjs" });
  },
};

START[process.argv[2]]();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
