import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

// The tests that know the public API only, against what a page loads: `npm run test:bundle`.
const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      {
        find: /^.*\/src\/index\.ts$/,
        replacement: fileURLToPath(new URL("dist/throughline.mjs", import.meta.url)),
      },
      {
        find: /^.*\/src\/feed\.ts$/,
        replacement: fileURLToPath(new URL("dist/throughline.feed.mjs", import.meta.url)),
      },
      {
        find: /^.*\/src\/core\.ts$/,
        replacement: fileURLToPath(new URL("dist/throughline.core.mjs", import.meta.url)),
      },
      {
        find: /^.*\/src\/tabs\/index\.ts$/,
        replacement: fileURLToPath(new URL("dist/throughline.tabs.mjs", import.meta.url)),
      },
    ],
  },
  test: {
    // How long a test may hang; none asserts how long anything takes.
    testTimeout: 120_000,
    include: [
      "*/script.bundle",
      "*/syntax.bundle",
      "*/locks.bundle",
      "*/core.bundle",
      "chaos.test",
      "client.test",
      "feed.test",
      "hostile.test",
      "publish.test",
      "reload.test",
      "strategy.test",
      "tabs.test",
      "tabs-chaos.test",
      "tokens.test",
    ].map((name) => `test/${name}.ts`),
  },
});

export default config;
