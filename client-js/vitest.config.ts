import { defineConfig } from "vitest/config";

// The client's parts in virtual time: `npm test`.
export default defineConfig({
  test: {
    include: ["test/*.test.ts"],
    // How long a test may hang; none asserts how long anything takes.
    testTimeout: 120_000,
  },
});
