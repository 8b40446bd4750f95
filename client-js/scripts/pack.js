// Compresses what a page loads, for a gateway to send as it is: `x.br` and `x.gz` beside each `x`.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const DIST = new URL("../dist/", import.meta.url);

for (const name of readdirSync(DIST)) {
  if (!/^throughline\..*js$/.test(name)) continue;
  const bytes = readFileSync(new URL(name, DIST));
  const params = {
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  writeFileSync(new URL(`${name}.br`, DIST), brotliCompressSync(bytes, { params }));
  writeFileSync(new URL(`${name}.gz`, DIST), gzipSync(bytes, { level: 9 }));
}
