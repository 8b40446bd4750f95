/** What a page gets from the script tag. */
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";

test("the script puts the API into one global, and does nothing else", () => {
  const page: Record<string, unknown> = {};
  runInNewContext(
    readFileSync(new URL("../../dist/throughline.iife.js", import.meta.url), "utf8"),
    page,
  );
  expect(page).toEqual({
    Throughline: {
      connect: expect.any(Function),
      feed: expect.any(Function),
      ThroughlineError: expect.any(Function),
    },
  });
});
