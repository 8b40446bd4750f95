import { defineConfig } from "vitest/config";

// Firefox against a real gateway: `npm run test:firefox`.
export default defineConfig({
  test: {
    environment: "node",
    include: ["test/firefox/**/*.firefox.ts"],
    // How long a test may hang; none asserts how long anything takes.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
