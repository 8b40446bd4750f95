/** The bytes that both languages read, and the table of errors. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { retryOf } from "../src/errors.ts";
import { parseFrame } from "../src/protocol/frames.ts";

interface Fixture {
  name: string;
  must: string;
  from: "client" | "server";
  text: string;
  frame?: unknown;
}

const folder = new URL("../../tests/fixtures/protocol/", import.meta.url);
const files = existsSync(folder)
  ? readdirSync(folder).filter((name) => name.endsWith(".json"))
  : [];
const fixtures = files.flatMap((file): [string, Fixture][] =>
  (JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Fixture[]).map((fixture) => [
    `${file}: ${fixture.name}`,
    fixture,
  ]),
);

test.runIf(fixtures.length > 0).each(fixtures)("%s", (_, { from, text, frame }) => {
  if (from === "client") {
    // What a client sends is its frame as JSON: the same members, whatever their order.
    if (frame !== undefined) expect(JSON.parse(text)).toEqual(frame);
    return;
  }
  const parsed = parseFrame(text);
  if (frame !== undefined) expect(parsed).toEqual(frame);
  else expect(parsed === undefined || Object.keys(parsed).length === 0).toBe(true);
});

test("each code of the protocol's table has the verdict that it has there", () => {
  const page = readFileSync(new URL("../../docs/PROTOCOL.md", import.meta.url), "utf8");
  const table = page.split("<!-- errors:begin")[1]?.split("<!-- errors:end")[0] ?? "";
  for (const [, code, retry] of table.matchAll(
    /^\| `?(\w+)`? \|[^|]*\|[^|]*\| `?(no|later|token|open)`? \|/gm,
  )) {
    expect(retryOf(code ?? ""), code).toBe(retry);
  }
});
