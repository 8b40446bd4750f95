import { defineConfig, type UserConfig } from "tsdown";
import { minify } from "./scripts/minify.ts";

// What a page loads with a script tag, and the same as one module: no import, minified.
const page: UserConfig = {
  entry: { throughline: "src/index.ts" },
  platform: "browser",
  target: "es2020",
  dts: false,
  clean: false,
  outputOptions: { generatedCode: { symbols: false } },
  plugins: [
    {
      name: "minify",
      // The last hook that sees the code: what comes after it would be printed at length again.
      async generateBundle(_options, bundle) {
        for (const chunk of Object.values(bundle)) {
          if (chunk.type === "chunk") chunk.code = await minify(chunk.code, chunk.exports);
        }
      },
    },
  ],
};

const config: ReturnType<typeof defineConfig> = defineConfig([
  {
    entry: "src/index.ts",
    format: ["esm", "cjs"],
    target: "es2020",
    platform: "neutral",
    fixedExtension: false,
    dts: true,
  },
  { ...page, format: "iife", globalName: "Throughline" },
  { ...page, format: "esm", outExtensions: () => ({ js: ".mjs" }) },
]);

export default config;
