/** One browser for all tests, and one gateway where `THROUGHLINE_TEST_SERVERS` names none. */
import { chromium } from "playwright-core";
import type { TestProject } from "vitest/node";
import { PATIENT, startServer } from "./server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Addresses of gateways that are one system; pages are spread over them. */
    servers: string[];
    /** Where the browser is driven. */
    browser: string;
  }
}

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env["THROUGHLINE_TEST_SERVERS"];
  const server = given ? undefined : await startServer(PATIENT);
  // Parsed, so that a wrong address fails here and not in every test.
  const servers = given?.split(",").map((base) => new URL(base.trim()).origin);
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  const browser = await chromium.launchServer({
    executablePath,
    args: ARGS,
    // Pages are kept for a return, as they are for people.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  project.provide("servers", servers ?? [server?.base ?? ""]);
  project.provide("browser", browser.wsEndpoint());
  return async () => {
    await browser.close();
    await server?.stop();
  };
}
