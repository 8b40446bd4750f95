// Fails where the bundle that a page loads is above its budget.
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

/**
 * Bytes of a bundle after gzip, at most: of the core, of the client, of the same for tabs that share, and of the
 * plain feed, which is loaded by itself. The client is to stay below 10 KiB, the core below 6.
 * After a change of the source `npm run names` finds the names that suit it; what is then too large has to be
 * said in fewer words.
 */
const GZIP_BYTES_MAX = {
  "throughline.core.mjs": 6144,
  "throughline.iife.js": 10_240,
  "throughline.mjs": 10_240,
  "throughline.feed.iife.js": 2432,
  "throughline.feed.mjs": 2432,
  "throughline.tabs.iife.js": 15_872,
  "throughline.tabs.mjs": 15_872,
};

for (const [name, bytesMax] of Object.entries(GZIP_BYTES_MAX)) {
  const bytes = readFileSync(new URL(`../dist/${name}`, import.meta.url));
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  const brotliBytes = brotliCompressSync(bytes).length;
  console.log(
    `${name}: ${bytes.length} bytes, ${gzipBytes} gzip (at most ${bytesMax}), ${brotliBytes} Brotli`,
  );
  if (gzipBytes > bytesMax) process.exitCode = 1;
}
