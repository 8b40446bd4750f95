/** A network of one's own between a page and the gateway, which a test can break. */

import type { AddressInfo } from "node:net";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { Busy } from "./busy.ts";

/** How a connection ends: as by a gone host (RST) or as by an orderly one (FIN). */
export type Cut = "reset" | "end";

const HEAD = /^(GET|POST|OPTIONS) \S+ HTTP\/1\.1\r\n/;
const UPGRADE = /\r\nupgrade: websocket\r\n/i;

interface Pair {
  /** The page's side. */
  near: Socket;
  /** The gateway's side. */
  far: Socket;
  busy: Busy;
}

export class Shim {
  /** Where a page finds it, without a slash at its end. */
  readonly base: string;
  /** Where it leads to; may change. */
  target: string;
  /** New connections are reset at once. */
  refuses = false;
  /** What happens to connections that ask for a WebSocket. */
  upgrades: "pass" | "reset" | "hang" = "pass";
  /** How the head of a request begins that is let through all the same. */
  spares: string | undefined;
  /** Milliseconds that each handshake hung until the page gave it up. */
  readonly hung: number[] = [];
  /** Milliseconds that each piece takes in either direction. */
  delayMs = 0;
  /** The head of each request that went up, first to last, where it began a piece and is not encrypted. */
  readonly heads: string[] = [];
  /** Connections that were asked for, refused ones too. */
  attempts = 0;
  /** The most connections that were in use at a time; may be set back. */
  most = 0;
  private readonly server: Server;
  private readonly pairs = new Set<Pair>();
  /** When the last piece is written to a side that pieces are still on the way to. */
  private readonly onTheWay = new Map<Socket, Promise<void>>();

  private constructor(server: Server, target: string) {
    const { port } = server.address() as AddressInfo;
    this.server = server;
    // TLS goes through as it is: the page and the gateway speak it with each other.
    this.base = `${new URL(target).protocol}//127.0.0.1:${port}`;
    this.target = target;
    server.on("connection", (near) => this.accept(near));
  }

  /** Opens one that leads to a gateway. */
  static async open(target: string): Promise<Shim> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Shim(server, target);
  }

  /** Connections that are open. */
  get open(): number {
    return this.pairs.size;
  }

  /** Cuts every connection. */
  cut(how: Cut = "reset"): void {
    for (const { near, far } of [...this.pairs]) {
      if (how === "end") near.end();
      else near.resetAndDestroy();
      far.destroy();
    }
    this.pairs.clear();
  }

  /** Lets nothing more through to the page on the connections that are open, without ending them. */
  stallDown(): void {
    for (const { far } of this.pairs) {
      far.removeAllListeners("data");
      far.pause();
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(near: Socket): void {
    this.attempts += 1;
    near.on("error", () => undefined);
    if (this.refuses) {
      near.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(this.target);
    const pair: Pair = { near, far: dial(Number(port), hostname), busy: new Busy() };
    const { far } = pair;
    const over = (): void => {
      this.pairs.delete(pair);
      // What one side said last still gets to the other.
      near.end();
      far.end();
    };
    this.pairs.add(pair);
    far.setNoDelay(true);
    far.on("error", () => undefined).on("close", over);
    near.on("close", over);
    near.on("data", (piece) => this.up(pair, piece));
    far.on("data", (piece) => {
      pair.busy.answered(piece);
      this.pass(near, piece);
    });
  }

  private up({ near, far, busy }: Pair, piece: Buffer): void {
    const text = piece.toString("latin1");
    if (HEAD.test(text)) {
      this.heads.push(text.split("\r\n\r\n", 1)[0] ?? "");
      busy.asked();
      this.most = Math.max(this.most, [...this.pairs].filter((pair) => pair.busy.now).length);
    }
    const isSpared = this.spares !== undefined && text.startsWith(this.spares);
    if (this.upgrades !== "pass" && !isSpared && HEAD.test(text) && UPGRADE.test(text)) {
      const from = performance.now();
      if (this.upgrades === "reset") near.resetAndDestroy();
      else near.once("close", () => this.hung.push(performance.now() - from));
      return;
    }
    this.pass(far, piece);
  }

  /** TCP keeps the order, so a piece waits for the ones before it, also where these take longer. */
  private pass(to: Socket, piece: Buffer): void {
    const before = this.onTheWay.get(to);
    if (this.delayMs === 0 && before === undefined) {
      to.write(piece);
      return;
    }
    const written = Promise.all([before, after(this.delayMs)]).then(() => {
      if (this.onTheWay.get(to) === written) this.onTheWay.delete(to);
      if (to.writable) to.write(piece);
    });
    this.onTheWay.set(to, written);
  }
}
