import { defineConfig, type UserConfig } from "tsdown";
import { compress, GLOBAL, type Kind, shortNames } from "./scripts/minify.ts";

// What a page loads: no import, minified.
const page: UserConfig = {
  platform: "browser",
  target: "es2020",
  dts: false,
  clean: false,
  outputOptions: { generatedCode: { symbols: false } },
};

const module: UserConfig = { format: "esm", outExtensions: () => ({ js: ".mjs" }) };

/** Puts the core's constant in the place of the client's: see `src/parts.ts`. */
const core = {
  name: "core",
  transform: (code: string, id: string) =>
    id.endsWith("/src/parts.ts") ? code.replace("MORE: boolean = true", "MORE = false") : undefined,
};

/** What a page loads of the client, small. */
const small = (name: string, entry: string, kind: Kind): UserConfig => ({
  ...page,
  entry: { [name]: entry },
  // Each of the two minifiers finds what the other does not; names come last.
  plugins: [
    ...(kind === "core" ? [core] : []),
    { name: "terser", renderChunk: (code) => compress(code) },
    {
      name: "names",
      generateBundle(_, files) {
        for (const file of Object.values(files))
          if (file.type === "chunk") file.code = shortNames(file.code, kind);
      },
    },
  ],
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
});

/** With a script tag, which adds to what another one left, and the same as one module. */
const both = (config: UserConfig): UserConfig[] => [
  {
    ...config,
    format: "iife",
    globalName: GLOBAL,
    outputOptions: { ...config.outputOptions, extend: true },
  },
  { ...config, ...module },
];

/** What a bundler reads. */
const source: UserConfig = {
  format: ["esm", "cjs"],
  target: "es2020",
  platform: "neutral",
  fixedExtension: false,
  dts: true,
};

const config: ReturnType<typeof defineConfig> = defineConfig([
  {
    ...source,
    entry: {
      index: "src/index.ts",
      feed: "src/feed.ts",
      diagnose: "src/diagnose/index.ts",
      tabs: "src/tabs/index.ts",
    },
  },
  { ...source, entry: { core: "src/core.ts" }, plugins: [core], clean: false, minify: "dce-only" },
  ...both(small("throughline", "src/page.ts", "client")),
  ...both(small("throughline.tabs", "src/tabs/page.ts", "tabs")),
  { ...small("throughline.core", "src/core.ts", "core"), ...module },
  ...both(small("throughline.feed", "src/feed.ts", "feed")),
  // Loaded only where it is asked for: its names may be longer.
  { ...page, ...module, entry: { "throughline.diagnose": "src/diagnose/index.ts" }, minify: true },
]);

export default config;
