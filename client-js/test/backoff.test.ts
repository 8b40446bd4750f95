import { expect, test } from "vitest";
import { backoff } from "../src/backoff.ts";

test.each([
  // attempt, roll, wait
  [0, 0.99, 0],
  [1, 0, 0],
  [1, 0.5, 125],
  [1, 1, 250],
  [2, 1, 500],
  [3, 0.5, 500],
  [7, 1, 16_000],
  [8, 1, 20_000],
  [1000, 1, 20_000],
])("try %i with a roll of %d waits %i ms", (attempt, roll, wait) => {
  expect(backoff(attempt, 20_000, 250, roll)).toBe(wait);
});
