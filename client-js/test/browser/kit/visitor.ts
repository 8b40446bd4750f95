/** A page of the gateway's own origin, behind a network of its own. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, inject, onTestFinished, vi } from "vitest";
import type {
  ChannelEvent,
  ChannelOptions,
  ConnectOptions,
  Json,
  Published,
  Transport,
} from "../../../src/index.ts";
import { installLab, type Note } from "./lab.ts";
import { Shim } from "./shim.ts";

/** The script-less document that pages start from: any that the gateway serves would do. */
const BLANK = "/health";

let browser: Promise<Browser> | undefined;
let visitors = 0;

afterAll(async () => {
  await (await browser)?.close();
  browser = undefined;
});

/** The next of the gateways that the suite runs against. */
export function nextServer(): string {
  const servers = inject("servers");
  return servers[visitors++ % servers.length] ?? "";
}

/** Waits until `probe` gives something other than `undefined` and `false`. */
export function until<Value>(
  what: string,
  probe: () => Promise<Value | undefined | false> | Value | undefined | false,
  timeout = 60_000,
): Promise<Value> {
  const check = async (): Promise<Value> => {
    const value = await probe();
    if (value === undefined || value === false) throw new Error(`still waiting until ${what}`);
    return value;
  };
  return vi.waitFor(check, { timeout, interval: 20 });
}

/** What of the options can be sent to a page. */
export type PlainOptions = Omit<ConnectOptions, "auth" | "signal" | "env">;

export interface VisitOptions {
  /** The gateway. Default: the next one. */
  base?: string;
  /** Runs in the page before anything else, and again after a reload. */
  init?: () => void;
  /** What is loaded of the client. Default: `client.js`. */
  script?: string;
  viewport?: { width: number; height: number };
}

export class Visitor {
  readonly page: Page;
  readonly shim: Shim;
  /** Errors that nothing caught. */
  readonly uncaught: string[] = [];
  /** What each `console.log` was given. */
  readonly said: unknown[][] = [];
  /** Warnings and errors in the console, of the network too. */
  readonly complaints: string[] = [];

  private readonly script: string;

  private constructor(page: Page, shim: Shim, script = "client.js") {
    this.page = page;
    this.shim = shim;
    this.script = script;
    page.on("pageerror", (error) => this.uncaught.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "log") {
        // The page may be gone before its words are read.
        Promise.all(message.args().map((arg) => arg.jsonValue())).then(
          (words) => this.said.push(words),
          () => undefined,
        );
      }
      const isTrouble = ["error", "warning"].includes(message.type());
      // The browser asks for an icon wherever a page names none.
      const isIcon = message.location().url.endsWith("/favicon.ico");
      if (isTrouble && !isIcon) this.complaints.push(message.text());
    });
  }

  /** A page in a browser profile of its own, which is gone after the test. */
  static async arrive(options: VisitOptions = {}): Promise<Visitor> {
    browser ??= chromium.connect(inject("browser"));
    const { viewport, init, base = nextServer(), script } = options;
    const shim = await Shim.open(base);
    const context: BrowserContext = await (await browser).newContext({
      baseURL: shim.base,
      // For certificates that nobody vouches for.
      ignoreHTTPSErrors: true,
      ...(viewport && { viewport }),
    });
    onTestFinished(async () => {
      await context.close();
      await shim.close();
    });
    await context.addInitScript(installLab);
    if (init) await context.addInitScript(init);
    const visitor = new Visitor(await context.newPage(), shim, script);
    // What was added last runs first: the page is still there.
    onTestFinished(({ task }) => (task.result?.state === "fail" ? visitor.testify() : undefined));
    return visitor;
  }

  /** The same with the client's script in a blank page. */
  static async open(options: VisitOptions = {}): Promise<Visitor> {
    const visitor = await Visitor.arrive(options);
    await visitor.load();
    return visitor;
  }

  /** Another page of the same profile. */
  async beside(): Promise<Visitor> {
    const page = await this.page.context().newPage();
    const visitor = new Visitor(page, this.shim, this.script);
    await visitor.load();
    return visitor;
  }

  /** Loads the blank page, or loads it again. */
  async load(): Promise<void> {
    const isThere = this.page.url().endsWith(BLANK);
    await (isThere ? this.page.reload() : this.page.goto(BLANK));
    await this.page.addScriptTag({ url: `/realtime/${this.script}` });
  }

  /** Prints what is known of the page, for whoever reads that a test failed. */
  private async testify(): Promise<void> {
    const known = await this.page.evaluate(() => ({
      state: lab.client?.state,
      transport: lab.client?.transport,
      notes: lab.notes.length,
      last: lab.notes.slice(-20),
    }));
    const { uncaught, complaints, shim } = this;
    const heads = shim.heads.slice(-10).map((head) => head.split("\r\n", 1)[0]);
    const network = { open: shim.open, attempts: shim.attempts, heads };
    const { last, ...rest } = { ...known, uncaught, complaints, network };
    for (const line of [rest, ...last]) console.log(JSON.stringify(line));
  }

  /** Connects and joins in one task, so that the channels are part of the opening. */
  async connect(
    options: PlainOptions = {},
    channels: Record<string, ChannelOptions> = {},
  ): Promise<void> {
    await this.page.evaluate(
      ({ options, channels }) => {
        lab.connect(options);
        for (const [name, how] of Object.entries(channels)) lab.join(name, how);
      },
      { options, channels } as { options: object; channels: Record<string, ChannelOptions> },
    );
  }

  /** Waits until it is connected, over this transport if one is named. */
  async connected(transport?: Transport): Promise<void> {
    const now = async (): Promise<boolean> => {
      const [state, by] = await this.page.evaluate(() => [lab.client.state, lab.client.transport]);
      return state === "connected" && (transport === undefined || by === transport);
    };
    await until(`connected over ${transport ?? "anything"}`, now);
  }

  /** Waits until the gateway has confirmed the subscription. */
  async joined(channel: string): Promise<void> {
    await until(`subscribed to ${channel}`, async () =>
      (await this.notes("subscribed")).some((note) => note.channel === channel),
    );
  }

  notes<Kind extends Note["kind"]>(kind: Kind): Promise<Extract<Note, { kind: Kind }>[]> {
    return this.page.evaluate(
      (kind) => lab.notes.filter((note) => note.kind === kind),
      kind,
    ) as Promise<Extract<Note, { kind: Kind }>[]>;
  }

  async events(channel: string): Promise<ChannelEvent[]> {
    const notes = await this.notes("event");
    return notes.filter((note) => note.channel === channel).map(({ event }) => event);
  }

  /** The data of the events of a channel, once there are so many. */
  async received(channel: string, count: number): Promise<Json[]> {
    await until(`${count} events of ${channel}`, () =>
      this.page.evaluate(
        ([channel, count]) =>
          lab.notes.filter((note) => note.kind === "event" && note.channel === channel).length >=
          count,
        [channel, count] as const,
      ),
    );
    return (await this.events(channel)).map(({ data }) => data);
  }

  publish(channel: string, data: Json): Promise<Published> {
    const text = JSON.stringify(data);
    return this.page.evaluate(
      ([channel, text]) => lab.client.channel(channel).publish(JSON.parse(text)),
      [channel, text] as const,
    );
  }

  use(...transports: Transport[]): Promise<void> {
    return this.page.evaluate((transports) => lab.client.use(transports), transports);
  }
}

/** A channel that no other test uses. */
export function fresh(namespace: string): string {
  return `${namespace}:${Math.random().toString(36).slice(2)}`;
}
