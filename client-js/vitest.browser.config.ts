import { defineConfig } from "vitest/config";

// Real pages against a real gateway: `npm run test:browser`.
export default defineConfig({
  test: {
    environment: "node",
    include: ["test/browser/**/*.browser.ts"],
    globalSetup: "test/browser/kit/setup.ts",
    maxWorkers: 2,
    // How long a test may hang; none asserts how long anything takes.
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
