/** The tables of docs/PROXIES.md, which are written by what measures them. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { AT_ONCE, ROOT } from "./cells.js";

const DOCUMENT = `${ROOT}docs/PROXIES.md`;

/** Puts lines between the marks of this name. */
export function write(name, lines) {
  const marks = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const text = readFileSync(DOCUMENT, "utf8");
  const [begin, end] = marks.map((mark) => text.indexOf(mark));
  if (begin < 0 || end < begin) throw new Error(`no marks of ${name} in ${DOCUMENT}`);
  const machine = `Measured on ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${AT_ONCE} cells at once.`;
  const table = [marks[0], "", machine, "", ...lines, "", ""].join("\n");
  writeFileSync(DOCUMENT, text.slice(0, begin) + table + text.slice(end));
}
