import { defineConfig, type UserConfig } from "tsdown";
import { compress, shortNames } from "./scripts/minify.ts";

// What a page loads with a script tag, and the same as one module: no import, minified.
const page: UserConfig = {
  entry: { throughline: "src/index.ts" },
  platform: "browser",
  target: "es2020",
  dts: false,
  clean: false,
  outputOptions: { generatedCode: { symbols: false } },
  // Each of the two minifiers finds what the other does not; names come last.
  plugins: [
    { name: "terser", renderChunk: (code) => compress(code) },
    {
      name: "names",
      generateBundle(_, files) {
        for (const file of Object.values(files))
          if (file.type === "chunk") file.code = shortNames(file.code);
      },
    },
  ],
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
};

const config: ReturnType<typeof defineConfig> = defineConfig([
  {
    entry: { index: "src/index.ts", diagnose: "src/diagnose/index.ts" },
    format: ["esm", "cjs"],
    target: "es2020",
    platform: "neutral",
    fixedExtension: false,
    dts: true,
  },
  { ...page, format: "iife", globalName: "Throughline" },
  { ...page, format: "esm", outExtensions: () => ({ js: ".mjs" }) },
  // Loaded only where it is asked for: its names may be longer.
  {
    ...page,
    entry: { "throughline.diagnose": "src/diagnose/index.ts" },
    format: "esm",
    outExtensions: () => ({ js: ".mjs" }),
    plugins: [],
    minify: true,
  },
]);

export default config;
