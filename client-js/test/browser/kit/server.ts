/** A real gateway as a process, on a port that the system chooses. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
/** Characters of the log that a failure shows. */
const LOG_CHARS = 4000;

/** The root of the repository, with a slash at its end. */
export const root: string = ROOT;

/** For pages that come back: a reload is longer than the usual grace on a busy machine. */
export const PATIENT = {
  THROUGHLINE_SESSION__GRACE: "30s",
  THROUGHLINE_SESSION__LEAVING_GRACE: "8s",
};

export interface Server {
  /** Where it listens, without a slash at its end. */
  readonly base: string;
  /** Ends it as an operator would (SIGTERM). */
  stop(): Promise<void>;
  /** Ends it without a warning (SIGKILL). */
  kill(): Promise<void>;
}

/** Starts one with the development settings and these on top, as in `THROUGHLINE_SESSION__WINDOW`. */
export async function startServer(settings: Record<string, string> = {}): Promise<Server> {
  const program = process.env["THROUGHLINE_BIN"] ?? `${ROOT}target/debug/throughline`;
  if (!existsSync(program)) {
    throw new Error(`no gateway at ${program}: run "cargo build", or name one in THROUGHLINE_BIN`);
  }
  const args = ["serve", "--config", `${ROOT}config/dev.toml`, "--listen", "127.0.0.1:0"];
  // The gateway refuses settings that it does not know, and the suite's own begin like its own.
  const { THROUGHLINE_BIN: _, THROUGHLINE_TEST_SERVERS: __, ...env } = process.env;
  const child = spawn(program, args, {
    env: { ...env, ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return {
    base: await listening(child),
    stop: () => end(child, "SIGTERM"),
    kill: () => end(child, "SIGKILL"),
  };
}

/** Starts one that speaks TLS, with a certificate of its own that nobody vouches for. */
export async function startSecureServer(settings: Record<string, string> = {}): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "throughline-tls-"));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  try {
    execFileSync(join(ROOT, "scripts/certificate.sh"), [folder], { stdio: "pipe" });
    const pair = { THROUGHLINE_TLS__CERT_FILE: cert, THROUGHLINE_TLS__KEY_FILE: key };
    return await startServer({ ...settings, ...pair });
  } finally {
    // The server has read them.
    rmSync(folder, { recursive: true });
  }
}

function listening(child: ChildProcess): Promise<string> {
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("the gateway's output is not there");
  let log = "";
  stderr.on("data", (text: Buffer) => {
    log = `${log}${text}`.slice(-LOG_CHARS);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}:\n${log}`)));
    createInterface(stdout).on("line", (line) => {
      const address = /^listening on (https?:\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exited;
}
