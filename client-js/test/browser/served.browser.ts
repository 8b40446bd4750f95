/** The client as the gateway sends it: compressed where that is taken. */
import { get, type IncomingHttpHeaders } from "node:http";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { nextServer, Visitor } from "./kit/visitor.ts";

interface Sent {
  headers: IncomingHttpHeaders;
  body: Buffer;
}

function load(url: string, offers: Record<string, string>): Promise<Sent> {
  return new Promise((resolve, reject) => {
    get(url, { headers: offers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(parts) }));
    }).on("error", reject);
  });
}

const FILES = ["client.js", "client.mjs", "core.mjs", "feed.js", "feed.mjs", "tabs.js", "tabs.mjs"];

test.each([...FILES, "diagnose.mjs"])("%s is the same in each coding", async (file) => {
  const url = `${nextServer()}/realtime/${file}`;
  const plain = await load(url, {});
  const gzip = await load(url, { "accept-encoding": "gzip, deflate" });
  const brotli = await load(url, { "accept-encoding": "gzip, deflate, br, zstd" });
  const codings = [plain, gzip, brotli].map(({ headers }) => headers["content-encoding"]);
  expect(codings).toEqual([undefined, "gzip", "br"]);
  expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
  expect(brotliDecompressSync(brotli.body).equals(plain.body)).toBe(true);
  for (const { headers } of [plain, gzip, brotli]) expect(headers.vary).toMatch(/Accept-Encoding/);
  const tags = [plain, gzip, brotli].map(({ headers }) => headers.etag);
  expect(new Set(tags).size).toBe(3);
  const again = { "accept-encoding": "br", "if-none-match": `${brotli.headers.etag}` };
  expect((await load(url, again)).body).toHaveLength(0);
});

test("a page that loads the client and the feed uses both", async () => {
  const visitor = await Visitor.open({ script: "feed.js" });
  await visitor.page.addScriptTag({ url: "/realtime/client.js" });
  expect(await visitor.page.evaluate(() => Object.keys(Throughline).sort())).toEqual([
    "ThroughlineError",
    "connect",
    "feed",
  ]);
});
