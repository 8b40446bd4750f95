/**
 * Makes a page's bundle small: Terser, and short names for what nobody outside can see. Seen from
 * outside, and kept, is what the interfaces of the API, the wire and the surroundings declare, and what
 * the objects of the platform have.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { minify as terser } from "terser";
import ts from "typescript";
import { shorten } from "./names.ts";

const SOURCE: URL = new URL("../src/", import.meta.url);

/** Where names are declared that mean something outside of the bundle. */
const OUTSIDE: readonly string[] = [
  "api.ts",
  "env.ts",
  "errors.ts",
  "protocol/frames.ts",
  "session/stored.ts",
];

/** The same, where tabs share: what one tab says to another may come from another build. */
const OUTSIDE_TABS: readonly string[] = ["tabs/index.ts", "tabs/wire.ts"];

/** What the script puts into the page: the one name at the top level that others see. */
export const GLOBAL = "Throughline";

/** What the client uses of the platform, beside what `env.ts` declares. */
const PLATFORM: readonly object[] = [
  ...[Array, Map, Set, Promise, String, Number, RegExp, Error, Function, Object],
  ...[AbortController, AbortSignal, EventTarget, Response, URL, TextDecoder],
  ...[ReadableStream, ReadableStreamDefaultReader],
].flatMap((type) => [type, type.prototype]);

/** Of the iterator protocol (ECMA-262, "The Iterator Interface"). */
const ITERATOR: readonly string[] = ["next", "return", "done", "value"];

/** The members that a file declares. */
function declared(file: string): string[] {
  const names: string[] = [];
  const text = readFileSync(new URL(file, SOURCE), "utf8");
  const visit = (node: ts.Node): void => {
    const named = ts.isTypeElement(node) || ts.isClassElement(node) ? node.name : undefined;
    if (named && ts.isIdentifier(named)) names.push(named.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
  return names;
}

/** What is seen from outside of a bundle with these files. */
const outsideOf = (files: readonly string[]): Set<string> =>
  new Set([
    ...files.flatMap((file) => declared(file)),
    ...[...PLATFORM, Math, JSON].flatMap((object) => Object.getOwnPropertyNames(object)),
    ...ITERATOR,
  ]);

/** What is private of a bundle whose files these are. A name may mean something else in the others. */
const insideOf = (isIn: (file: string) => boolean, seen: Set<string>): Set<string> =>
  new Set(
    readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && isIn(file))
      .flatMap((file) => declared(file))
      .filter((name) => !seen.has(name)),
  );

const outside: Set<string> = outsideOf(OUTSIDE);
const outsideTabs: Set<string> = outsideOf([...OUTSIDE, ...OUTSIDE_TABS]);
const inside: Set<string> = insideOf((file) => !/^(diagnose|tabs)/.test(file), outside);
const insideTabs: Set<string> = insideOf((file) => !/^diagnose/.test(file), outsideTabs);

/**
 * Functions and classes as constants: an arrow says the same in fewer words, and constants are one list. None is
 * used before it is there.
 */
function constants(script: string): string {
  const code = script.replace(/^(\s*)var (?=\w+ = class )/m, "$1const ");
  const source = ts.createSourceFile("bundle.ts", code, ts.ScriptTarget.Latest, true);
  let arrowed = "";
  let end = 0;
  const visit = (node: ts.Node): void => {
    if (!ts.isFunctionDeclaration(node) || !node.name || !node.body) {
      // What is in a function declaration stays as it is.
      ts.forEachChild(node, visit);
      return;
    }
    const isAsync = node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.AsyncKeyword);
    const opening = code.indexOf("(", node.name.end);
    arrowed += `${code.slice(end, node.getStart(source))}const ${node.name.text} = `;
    arrowed += `${isAsync ? "async " : ""}${code.slice(opening, node.body.pos)} => `;
    end = node.end;
    arrowed += `${code.slice(node.body.pos, end)};`;
  };
  visit(source);
  return arrowed + code.slice(end);
}

/** Objects without the members that are `undefined`: what is not there reads the same. */
function sparse(code: string): string {
  const source = ts.createSourceFile("bundle.ts", code, ts.ScriptTarget.Latest, true);
  const dropped: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isObjectLiteralExpression(node)) return;
    for (const member of node.properties) {
      // After a spread it takes something away.
      if (ts.isSpreadAssignment(member)) break;
      const isVoid = ts.isPropertyAssignment(member)
        ? ts.isVoidExpression(member.initializer)
        : ts.isGetAccessor(member) && !member.body?.statements.length;
      if (isVoid) dropped.push(member);
    }
  };
  visit(source);
  let text = code;
  for (const { pos, end } of dropped.sort((a, b) => b.pos - a.pos)) {
    // With the comma after it, or the one before.
    const isLast = text[end] !== ",";
    const isFirst = text[pos - 1] !== ",";
    text = text.slice(0, isLast && !isFirst ? pos - 1 : pos) + text.slice(isLast ? end : end + 1);
  }
  return text;
}

/** The code with less of everything but names, which {@link shortNames} needs as they are. */
export async function compress(code: string): Promise<string> {
  const { code: compressed = code } = await terser(constants(code), {
    ecma: 2020,
    toplevel: true,
    mangle: false,
    compress: {
      passes: 4,
      top_retain: [GLOBAL],
      hoist_props: true,
      keep_fargs: false,
      pure_getters: true,
      unsafe_arrows: true,
      unsafe: true,
      hoist_funs: true,
    },
  });
  return sparse(compressed);
}

/** What a page loads: the client, the same for tabs that share, the core, or the plain feed. */
export type Kind = "client" | "tabs" | "core" | "feed";

/** The names that were found last, and how many more are tried to find better ones. */
const NAMES = (kind: Kind): URL =>
  new URL(kind === "core" ? "names.core.json" : "names.json", import.meta.url);
const TRIES = Number(process.env["NAMES_TRIES"] ?? 0);

/** The code with short names. With `NAMES_TRIES` better ones are looked for in the module, and kept. */
export function shortNames(code: string, kind: Kind): string {
  const [hidden, seen] = kind === "tabs" ? [insideTabs, outsideTabs] : [inside, outside];
  const properties = {
    isPrivate: (name: string) => hidden.has(name),
    isOutside: (name: string) => seen.has(name),
  };
  const known = JSON.parse(readFileSync(NAMES(kind), "utf8"));
  const searches = TRIES > 0 && /^(client|core)$/.test(kind) && code.includes("export{");
  const short = shorten(code, properties, GLOBAL, known, searches ? TRIES : 0);
  if (searches) writeFileSync(NAMES(kind), `${JSON.stringify(short.names, null, 2)}\n`);
  return short.code;
}
