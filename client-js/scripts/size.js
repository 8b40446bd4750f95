// Fails where the bundle that a page loads is above its budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/** Bytes of the IIFE bundle after gzip, at most: a ratchet on the way to 9216. It only goes down. */
const GZIP_BYTES_MAX = 10_600;

for (const name of ["throughline.iife.js", "throughline.mjs"]) {
  const bytes = readFileSync(new URL(`../dist/${name}`, import.meta.url));
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  console.log(`${name}: ${bytes.length} bytes, ${gzipBytes} gzip (at most ${GZIP_BYTES_MAX})`);
  if (gzipBytes > GZIP_BYTES_MAX) process.exitCode = 1;
}
