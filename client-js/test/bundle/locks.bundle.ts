/** What the bundle calls of the browser's locks has the browser's name. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test.each(["throughline.mjs", "throughline.iife.js", "throughline.tabs.mjs"])(
  "%s asks for a lock by request()",
  (name) => {
    const code = readFileSync(new URL(`../../dist/${name}`, import.meta.url), "utf8");
    const [, method] = /\.(\w+)\(\w+,\{ifAvailable:/.exec(code) ?? [];
    expect(method).toBe("request");
  },
);
