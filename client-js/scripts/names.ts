/**
 * Short names for what nobody outside sees, chosen for what gzip makes of them: what had one name in the
 * source has one name in the bundle, be it variables of many functions or a property, so that the same
 * code is the same text. Which name is then found by trying.
 */
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { type Use, usesOf, type Variable } from "./scopes.ts";

/** Everything that had one name in the source. */
interface Word {
  readonly text: string;
  readonly rivals: Set<Word>;
  isProperty: boolean;
  uses: number;
  name: string;
}

/** What is known of the names of properties. */
export interface Properties {
  /** Whether nobody outside sees it. */
  isPrivate(name: string): boolean;
  /** Whether somebody outside does. */
  isOutside(name: string): boolean;
}

/** By how much a change may make the whole larger at first, about. */
const WORSE_BYTES = 0.6;

const LETTERS: readonly string[] = [..."etnriasocludpfmhg_vybxSCwTEDOkAjMNPFILRzBVHUWGKqJYXZQ$"];
const NAMES: readonly string[] = [
  ...LETTERS,
  ...LETTERS.flatMap((first) => LETTERS.map((second) => first + second)),
];
/** Of two letters, and taken (ECMA-262, "Keywords and Reserved Words"). */
const KEYWORDS: readonly string[] = ["do", "if", "in"];

/** The same sequence in each build (Park and Miller's generator); from 0 to below 1. */
function dice(): () => number {
  let seed = 1;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

/** A piece of the text: what stands before an identifier, and what that is called. */
interface Piece {
  readonly before: string;
  readonly role: Use["role"];
  readonly property: { readonly name: string };
  readonly variable: { readonly name: string };
}

/** The name in the source: the bundler numbers what had one name in two modules. */
function textOf({ name, rivals }: Variable): string {
  const text = unnumbered(name);
  return [...rivals].some((rival) => unnumbered(rival.name) === text) ? name : text;
}

const unnumbered = (name: string): string => name.replace(/\$\d+$/, "");

class Bundle {
  readonly words: Map<string, Word> = new Map();
  private readonly pieces: readonly Piece[];
  private readonly rest: string;
  private readonly fixed: Set<string> = new Set(KEYWORDS);
  private readonly properties: Properties;

  constructor(code: string, properties: Properties) {
    this.properties = properties;
    let end = 0;
    this.pieces = usesOf(code).map(({ text, variable, role, ...use }) => {
      const before = code.slice(end, use.start);
      end = use.end;
      if (!variable && role !== "property") this.fixed.add(text);
      const isPrivate = role !== "variable" && role !== "export" && properties.isPrivate(text);
      const outside = { name: text };
      return {
        before,
        role,
        property: isPrivate ? this.property(text) : outside,
        variable: variable ? this.variable(variable) : outside,
      };
    });
    this.rest = code.slice(end);
    const all = [...this.words.values()];
    const names = all.filter(({ isProperty }) => isProperty);
    for (const word of names) for (const other of names) word.rivals.add(other);
    for (const word of all) word.rivals.delete(word);
  }

  private word(text: string): Word {
    const found = this.words.get(text);
    const word = found ?? { text, rivals: new Set(), isProperty: false, uses: 0, name: "" };
    this.words.set(text, word);
    return word;
  }

  private property(name: string): Word {
    const word = this.word(name);
    word.isProperty = true;
    word.uses++;
    return word;
  }

  private variable(variable: Variable): Word {
    const word = this.word(textOf(variable));
    word.uses++;
    for (const rival of variable.rivals) word.rivals.add(this.word(textOf(rival)));
    return word;
  }

  /** Whether the word may have its name beside those of its rivals. */
  isSound({ name, isProperty, rivals }: Word): boolean {
    if (this.fixed.has(name) || (isProperty && this.properties.isOutside(name))) return false;
    for (const rival of rivals) if (rival.name === name) return false;
    return true;
  }

  /** The text with the names that the words have now. */
  print(): string {
    let text = "";
    for (const { before, role, property, variable } of this.pieces) {
      text += before;
      if (role === "property") text += property.name;
      else if (role === "export") text += `${variable.name} as ${property.name}`;
      else if (role === "variable" || property.name === variable.name) text += variable.name;
      else text += `${property.name}:${variable.name}`;
    }
    return text + this.rest;
  }
}

const sizeOf = (code: string): number => gzipSync(code, { level: 9 }).length;

/** Names by word, as they were found for an earlier text. */
export type Names = Readonly<Record<string, string>>;

/**
 * The code with short names, and what they are.
 * @param kept a variable that keeps its name.
 * @param known names to begin with. A word that is not there has the first that is free.
 * @param tries changes of names that are tried: each takes half a millisecond.
 */
export function shorten(
  code: string,
  properties: Properties,
  kept: string,
  known: Names,
  tries: number,
): { code: string; names: Names } {
  const bundle = new Bundle(code, properties);
  const words: Word[] = [];
  for (const word of bundle.words.values()) {
    if (word.text === kept) word.name = kept;
    else words.push(word);
  }
  words.sort((a, b) => b.uses - a.uses);
  for (const word of words) {
    const name = known[word.text];
    if (name && bundle.isSound({ ...word, name })) word.name = name;
  }
  for (const word of words)
    word.name ||= NAMES.find((name) => bundle.isSound({ ...word, name })) ?? word.text;
  search(bundle, words, tries);
  const short = bundle.print();
  prove(code, short);
  const names = words.map(({ text, name }) => [text, name] as const);
  return { code: short, names: Object.fromEntries(names.sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/**
 * Simulated annealing: gives a word another name, and its old one to those that had it, where the whole
 * becomes no larger, or at first not much.
 */
function search(bundle: Bundle, words: readonly Word[], tries: number): void {
  const roll = dice();
  let size = sizeOf(bundle.print());
  let best = { size, names: words.map(({ name }) => name) };
  for (let tried = 0; tried < tries; tried++) {
    // What is used often matters more.
    const word = words[Math.floor(roll() ** 2 * words.length)];
    // A variable may have the name of the property that it comes from: then it is written once.
    const name = roll() < 0.1 ? word?.text : LETTERS[Math.floor(roll() * LETTERS.length)];
    if (!word || !name || word.name === name) continue;
    const before = word.name;
    const moved = [word, ...[...word.rivals].filter((rival) => rival.name === name)];
    for (const other of moved) other.name = other === word ? name : before;
    const sound = moved.every((other) => bundle.isSound(other));
    const now = sound ? sizeOf(bundle.print()) : Infinity;
    const worse = -WORSE_BYTES * (1 - tried / tries) * Math.log(roll());
    if (now <= size + worse) size = now;
    else for (const other of moved) other.name = other === word ? before : name;
    if (size < best.size) best = { size, names: words.map(({ name }) => name) };
  }
  for (const [at, word] of words.entries()) word.name = best.names[at] ?? word.name;
}

/** @throws {Error} where it is no script, or an identifier stands for another variable than before. */
function prove(code: string, short: string): void {
  const wrong: ts.Diagnostic[] = [];
  ts.transpile(short, { target: ts.ScriptTarget.ES2020 }, "bundle.ts", wrong);
  for (const { messageText } of wrong) throw new Error(`${messageText}`);
  const after = usesOf(short);
  const twins = new Map<Variable, Variable | undefined>();
  for (const [at, { text, variable, role }] of usesOf(code).entries()) {
    const twin = after[at];
    if (variable && !twins.has(variable)) twins.set(variable, twin?.variable);
    if (twin?.role !== role || (variable && twins.get(variable)) !== twin.variable)
      throw new Error(`${text} became ${twin?.text}`);
  }
}
