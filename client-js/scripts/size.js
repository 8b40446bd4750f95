// Fails where the bundle that a page loads is above its budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/**
 * Bytes of a bundle after gzip, at most. After a change of the source `npm run names` finds the names that
 * suit it; what is then too large has to be said in fewer words.
 */
const GZIP_BYTES_MAX = 9216;

for (const name of ["throughline.iife.js", "throughline.mjs"]) {
  const bytes = readFileSync(new URL(`../dist/${name}`, import.meta.url));
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  console.log(`${name}: ${bytes.length} bytes, ${gzipBytes} gzip (at most ${GZIP_BYTES_MAX})`);
  if (gzipBytes > GZIP_BYTES_MAX) process.exitCode = 1;
}
