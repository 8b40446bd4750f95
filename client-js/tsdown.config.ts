import { defineConfig, type UserConfig } from "tsdown";

// What a page loads with a script tag, and the same as one module: no import, minified.
const page: UserConfig = { platform: "browser", target: "es2020", minify: true, dts: false };

const configs: UserConfig[] = [
  {
    entry: "src/index.ts",
    format: ["esm", "cjs"],
    target: "es2020",
    platform: "neutral",
    fixedExtension: false,
    dts: true,
  },
  {
    ...page,
    entry: { throughline: "src/index.ts" },
    format: "iife",
    globalName: "Throughline",
    clean: false,
  },
  {
    ...page,
    entry: { throughline: "src/index.ts" },
    format: "esm",
    clean: false,
    outExtensions: () => ({ js: ".mjs" }),
  },
];

const config: ReturnType<typeof defineConfig> = defineConfig(configs);

export default config;
