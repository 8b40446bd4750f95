/**
 * Makes a page's bundle small: Terser, and short names for the properties that nobody outside can see.
 * Seen from outside, and kept, is what the interfaces of the API, the wire and the surroundings declare,
 * and what the platform itself defines (Terser's own list).
 */
import { readFileSync } from "node:fs";
import { minify as terser } from "terser";
import ts from "typescript";

/** Where names are declared that mean something outside of the bundle. */
const OUTSIDE: readonly string[] = ["api", "env", "errors", "protocol/frames", "strategy/kept"];

/** What the script puts into the page: the one name at the top level that others see. */
const GLOBAL = "Throughline";

/** Of the iterator protocol (ECMA-262, "The Iterator Interface"), which Terser's list leaves out. */
const ITERATOR: readonly string[] = ["next", "return", "done", "value"];

function declared(path: URL): string[] {
  const names: string[] = [];
  const source = ts.createSourceFile(path.href, readFileSync(path, "utf8"), ts.ScriptTarget.Latest);
  const visit = (node: ts.Node): void => {
    const named = ts.isTypeElement(node) || ts.isClassElement(node) ? node.name : undefined;
    if (named && (ts.isIdentifier(named) || ts.isStringLiteral(named))) names.push(named.text);
    // A word of the wire may be the key of a table.
    if (ts.isStringLiteral(node)) names.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** The code, minified. `names` are kept beside those that are declared. */
export async function minify(code: string, names: readonly string[]): Promise<string> {
  const outside = OUTSIDE.flatMap((name) =>
    declared(new URL(`../src/${name}.ts`, import.meta.url)),
  );
  const { code: minified = code } = await terser(code, {
    ecma: 2020,
    toplevel: true,
    compress: {
      passes: 4,
      top_retain: [GLOBAL],
      hoist_props: true,
      keep_fargs: false,
      pure_getters: true,
      unsafe_arrows: true,
      unsafe_methods: true,
    },
    mangle: {
      reserved: [GLOBAL],
      properties: { reserved: [...outside, ...ITERATOR, ...names], keep_quoted: true },
    },
  });
  return minified;
}
