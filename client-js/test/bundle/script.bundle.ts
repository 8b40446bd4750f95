/** What a page gets from the script tag. */
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";

/** What is in a page that loads these scripts. */
function load(...names: string[]): Record<string, unknown> {
  const page: Record<string, unknown> = {};
  for (const name of names)
    runInNewContext(readFileSync(new URL(`../../dist/${name}`, import.meta.url), "utf8"), page);
  return page;
}

const CLIENT = { connect: expect.any(Function), ThroughlineError: expect.any(Function) };
const FEED = { feed: expect.any(Function) };

test("the script puts the API into one global, and does nothing else", () => {
  expect(load("throughline.iife.js")).toEqual({ Throughline: CLIENT });
});

test("the feed's script has no more than the feed", () => {
  expect(load("throughline.feed.iife.js")).toEqual({ Throughline: FEED });
});

test("a page may load both scripts, in any order", () => {
  const names = ["throughline.iife.js", "throughline.feed.iife.js"];
  for (const order of [names, names.reverse()])
    expect(load(...order)).toEqual({ Throughline: { ...CLIENT, ...FEED } });
});
