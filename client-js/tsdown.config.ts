import { defineConfig, type UserConfig } from "tsdown";
import { compress, shortNames } from "./scripts/minify.ts";

// What a page loads: no import, minified.
const page: UserConfig = {
  platform: "browser",
  target: "es2020",
  dts: false,
  clean: false,
  outputOptions: { generatedCode: { symbols: false } },
};

const module: UserConfig = { ...page, format: "esm", outExtensions: () => ({ js: ".mjs" }) };

/** The client with a script tag, and the same as one module. */
const client = (name: string, entry: string, shares: boolean): UserConfig[] => {
  const small: UserConfig = {
    entry: { [name]: entry },
    // Each of the two minifiers finds what the other does not; names come last.
    plugins: [
      { name: "terser", renderChunk: (code) => compress(code) },
      {
        name: "names",
        generateBundle(_, files) {
          for (const file of Object.values(files))
            if (file.type === "chunk") file.code = shortNames(file.code, shares);
        },
      },
    ],
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  };
  return [
    { ...page, ...small, format: "iife", globalName: "Throughline" },
    { ...module, ...small },
  ];
};

const config: ReturnType<typeof defineConfig> = defineConfig([
  {
    entry: {
      index: "src/index.ts",
      diagnose: "src/diagnose/index.ts",
      tabs: "src/tabs/index.ts",
    },
    format: ["esm", "cjs"],
    target: "es2020",
    platform: "neutral",
    fixedExtension: false,
    dts: true,
  },
  ...client("throughline", "src/index.ts", false),
  ...client("throughline.tabs", "src/tabs/page.ts", true),
  // Loaded only where it is asked for: its names may be longer.
  { ...module, entry: { "throughline.diagnose": "src/diagnose/index.ts" }, minify: true },
]);

export default config;
