/** No client library at all: what PROTOCOL.md section 10 promises. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { publish } from "./kit/api.ts";
import { root, type Server, startServer } from "./kit/server.ts";
import { until, Visitor } from "./kit/visitor.ts";

let server: Server;

beforeAll(async () => {
  server = await startServer({ THROUGHLINE_SESSION__PING_VISIBLE: "3s" });
});
afterAll(() => server.stop());

/** The code of the section, with our gateway in the place of its own. */
async function snippet(base: string): Promise<string> {
  const text = await readFile(`${root}docs/PROTOCOL.md`, "utf8");
  const section = /^## 10\..*?```js\n(.*?)```/ms.exec(text)?.[1];
  expect(section).toContain("ws://localhost:8000/realtime/");
  return (section ?? "").replace("ws://localhost:8000", base.replace("http", "ws"));
}

// spec: M2, M16, M25
// demand: 1, 43
test("the snippet of the protocol joins, sends, receives and stays while pings pass", async () => {
  const { page, shim, said } = await Visitor.open({ base: server.base });
  const frames: string[] = [];
  let isOpen = true;
  page.on("websocket", (socket) => {
    socket.on("framereceived", ({ payload }) => frames.push(String(payload)));
    socket.on("close", () => {
      isOpen = false;
    });
  });
  const pings = (): number => frames.filter((text) => text.includes('"l":"ping"')).length;

  await page.addScriptTag({ content: await snippet(shim.base) });
  await until("subscribed", () => frames.some((text) => text.includes('"t":"subscribed"')));
  await page.evaluate("say('hello')");
  await until("its own message came", () => said.length === 1);
  const before = pings();
  await until("two pings passed", () => pings() >= before + 2);
  await publish(server.base, "chat:lobby", { data: { text: "and good night" } });
  await until("what others say came", () => said.length === 2);
  await page.evaluate("say('bye')");
  await until("it still speaks", () => said.length === 3);

  expect(said).toEqual([
    ["chat:lobby", { text: "hello" }],
    ["chat:lobby", { text: "and good night" }],
    ["chat:lobby", { text: "bye" }],
  ]);
  expect(isOpen).toBe(true);
});
