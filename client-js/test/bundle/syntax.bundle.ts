/** What a page loads is read by browsers of 2020. */
import { readdirSync, readFileSync } from "node:fs";
import { parse } from "acorn";
import { expect, test } from "vitest";

const DIST = new URL("../../dist/", import.meta.url);

// demand: 11
test.each(readdirSync(DIST).filter((name) => /\.(js|mjs|cjs)$/.test(name)))(
  "%s is ES2020",
  (name) => {
    const code = readFileSync(new URL(name, DIST), "utf8");
    const sourceType = /\.iife\.js$|\.cjs$/.test(name) ? "script" : "module";
    expect(parse(code, { ecmaVersion: 2020, sourceType }).body).not.toHaveLength(0);
  },
);
