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
    ],
  },
  test: {
    include: ["chaos", "client", "feed", "hostile", "reload", "strategy"].map(
      (name) => `test/${name}.test.ts`,
    ),
  },
});

export default config;
