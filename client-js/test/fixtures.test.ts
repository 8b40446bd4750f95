/** The bytes that both languages read, and the table of errors. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { retryOf } from "../src/errors.ts";
import { encodeBody } from "../src/protocol/body.ts";
import { type FrameUp, parseFrame } from "../src/protocol/frames.ts";

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
    // What a client sends is a form with its frames, or a frame as JSON with its members in any order.
    if (text.startsWith("d=")) expect(encodeBody(frame as FrameUp[])).toBe(text);
    else if (frame !== undefined)
      expect(JSON.parse(JSON.stringify(frame))).toEqual(JSON.parse(text));
    return;
  }
  const parsed = parseFrame(text);
  if (frame !== undefined) expect(parsed).toEqual(frame);
  else expect(parsed === undefined || Object.keys(parsed).length === 0).toBe(true);
});

test("each code of the gateway's table has the verdict that it has there", () => {
  const table = readFileSync(new URL("../../src/protocol/error.rs", import.meta.url), "utf8");
  const rows = [...table.matchAll(/= "(\w+)", \d+, \d+, (No|Later|Token|Open),/g)];
  expect(rows.length).toBeGreaterThan(30);
  for (const [, code = "", retry = ""] of rows)
    expect([code, retryOf(code)]).toEqual([code, retry.toLowerCase()]);
});
