/** What the documents tell people to copy does what they say. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { expect, onTestFinished, test } from "vitest";
import { publish } from "./kit/api.ts";
import { root } from "./kit/server.ts";
import { nextServer, until, Visitor } from "./kit/visitor.ts";

/** The code blocks of a document in one language. */
async function blocks(file: string, language: string): Promise<string[]> {
  const text = await readFile(`${root}${file}`, "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    ([, code]) => code ?? "",
  );
}

/** Opens a page of this HTML at the gateway's origin. */
async function open(html: string): Promise<Visitor> {
  const visitor = await Visitor.arrive();
  const body = `<!doctype html><title>snippet</title>${html}`;
  await visitor.page.route("**/snippet", (route) =>
    route.fulfill({ contentType: "text/html", body }),
  );
  await visitor.page.goto("/snippet");
  return visitor;
}

// demand: 98, 122
test("the script of README.md opens a session, hears itself, and is told where it is stored", async () => {
  const [html = ""] = await blocks("README.md", "html");
  expect(html).toContain('<script src="/realtime/client.js"></script>');
  expect(html.trim().split("\n").length).toBeLessThanOrEqual(10);
  const { said, uncaught } = await open(html);
  const stored = await until("stored", () => said.find(([first]) => first === "stored at"));
  const heard = await until("heard", () =>
    said.find(([first, second]) => first !== "stored at" && second === stored[1]),
  );

  expect(heard[0]).toEqual({ text: "hello" });
  expect(uncaught).toEqual([]);
});

// demand: 98
test("the module of the client's README.md connects, hears itself and sees who is there", async () => {
  const [code = ""] = await blocks("client-js/README.md", "js");
  expect(code.trim().split("\n").length).toBeLessThanOrEqual(10);
  const imports = { imports: { throughline: "/realtime/client.mjs" } };
  const local = code.replace("https://example.com/realtime", "/realtime");
  expect(local).not.toBe(code);
  const { said, uncaught } = await open(
    `<script type="importmap">${JSON.stringify(imports)}</script>
     <script type="module">${local}\nconsole.log("done");</script>`,
  );
  await until("the last line is reached", () => said.find(([first]) => first === "done"));
  await until("itself there", () => said.find(([, second]) => second === "here"));
  await until("heard", () =>
    said.find(([, second]) => JSON.stringify(second) === '{"text":"Hello"}'),
  );

  expect(uncaught).toEqual([]);
});

// demand: 5, 46, 98
test("the commands of README.md follow a channel and publish to it", async () => {
  const base = nextServer();
  const [, shell = ""] = await blocks("README.md", "sh");
  const commands = shell.trim().split(/\n(?=curl)/);
  expect(commands.length).toBe(2);
  const [follow = "", send = ""] = commands.map((line) =>
    line.replaceAll("http://127.0.0.1:8000", base),
  );
  const run = (command: string): { output(): string } => {
    const child = spawn("bash", ["-c", `exec ${command}`]);
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    onTestFinished(() => {
      child.kill();
    });
    return { output: () => output };
  };

  const following = run(follow);
  await until("it is told hello", () => following.output().includes('"hello"'));
  const sending = run(send);
  await until("it is stored", () => sending.output().includes('"pos"'));
  await until("it is heard", () => following.output().includes("hello from a shell"));
  await publish(base, "chat:lobby", { data: { text: "and from a backend" } });
  await until("the next too", () => following.output().includes("and from a backend"));
});
