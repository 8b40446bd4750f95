/** What a page loads is read by browsers of 2020. */
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { expect, test } from "vitest";

test.each([
  ["throughline.iife.js", "script"],
  ["throughline.mjs", "module"],
  ["throughline.tabs.iife.js", "script"],
  ["throughline.tabs.mjs", "module"],
  ["throughline.diagnose.mjs", "module"],
  ["index.js", "module"],
  ["index.cjs", "script"],
] as const)("%s is ES2020", (name, sourceType) => {
  // demand: 11
  const code = readFileSync(new URL(`../../dist/${name}`, import.meta.url), "utf8");
  expect(parse(code, { ecmaVersion: 2020, sourceType }).body).not.toHaveLength(0);
});
