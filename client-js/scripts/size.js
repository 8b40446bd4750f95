// Fails where the bundle that a page loads is above its budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/**
 * Bytes of a bundle after gzip, at most: of the core, of the client, and of the same for tabs that share.
 * After a change of the source `npm run names` finds the names that suit it; what is then too large has to be
 * said in fewer words.
 */
const GZIP_BYTES_MAX = {
  "throughline.core.mjs": 6168,
  "throughline.iife.js": 10_900,
  "throughline.mjs": 10_900,
  "throughline.tabs.iife.js": 16_508,
  "throughline.tabs.mjs": 16_508,
};

for (const [name, bytesMax] of Object.entries(GZIP_BYTES_MAX)) {
  const bytes = readFileSync(new URL(`../dist/${name}`, import.meta.url));
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  console.log(`${name}: ${bytes.length} bytes, ${gzipBytes} gzip (at most ${bytesMax})`);
  if (gzipBytes > bytesMax) process.exitCode = 1;
}
