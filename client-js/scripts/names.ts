/**
 * Short names for what nobody outside sees, chosen for what gzip makes of them: variables of one name in the
 * source begin with one name in the bundle, so that the same code is the same text. What suits better is then
 * found by trying (`search.ts`).
 */
import ts from "typescript";
import { type Use, usesOf, type Variable } from "./scopes.ts";
import { LETTERS, search } from "./search.ts";

/** A variable, or all properties of one name. */
export interface Word {
  /** The name in the source. */
  readonly text: string;
  /** Names it in the file of names: with where it is declared, or with a dot where it is a property. */
  readonly key: string;
  readonly isProperty: boolean;
  /** Those that cannot have its name. */
  readonly rivals: Set<Word>;
  /** The pieces of the text that have it. */
  readonly uses: number[];
  name: string;
}

/** What is known of the names of properties. */
export interface Properties {
  /** Whether nobody outside sees it. */
  isPrivate(name: string): boolean;
  /** Whether somebody outside does. */
  isOutside(name: string): boolean;
}

const NAMES: readonly string[] = [
  ...LETTERS,
  ...LETTERS.flatMap((first) => LETTERS.map((second) => first + second)),
];
/** Of two letters, and taken (ECMA-262, "Keywords and Reserved Words"). */
const KEYWORDS: readonly string[] = ["do", "if", "in"];

/** A piece of the text: what stands before an identifier, and what that is called. */
interface Piece {
  readonly before: string;
  readonly role: Use["role"];
  readonly property: { readonly name: string };
  readonly variable: { readonly name: string };
}

/** The name in the source: the bundler numbers what had one name in two modules. */
const unnumbered = (name: string): string => name.replace(/\$\d+$/, "");

/** A script whose words are being named. */
export class Bundle {
  readonly words: Word[] = [];
  private readonly pieces: readonly Piece[];
  private readonly texts: string[];
  private readonly rest: string;
  private readonly fixed: Set<string> = new Set(KEYWORDS);
  private readonly byKey: Map<string, Word> = new Map();
  private readonly byVariable: Map<Variable, Word> = new Map();
  private readonly properties: Properties;

  constructor(code: string, properties: Properties) {
    this.properties = properties;
    let end = 0;
    this.pieces = usesOf(code).map(({ text, variable, role, ...use }, at) => {
      const before = code.slice(end, use.start);
      end = use.end;
      if (!variable && role !== "property") this.fixed.add(text);
      const isPrivate = role !== "variable" && role !== "export" && properties.isPrivate(text);
      const outside = { name: text };
      return {
        before,
        role,
        property: isPrivate ? this.property(text, at) : outside,
        variable: variable ? this.variable(variable, at) : outside,
      };
    });
    this.rest = code.slice(end);
    this.texts = this.pieces.map(() => "");
    const names = this.words.filter(({ isProperty }) => isProperty);
    for (const word of names) for (const other of names) word.rivals.add(other);
    for (const [{ rivals }, word] of this.byVariable) {
      for (const rival of rivals) {
        const other = this.byVariable.get(rival);
        if (other) word.rivals.add(other);
      }
    }
    for (const word of this.words) word.rivals.delete(word);
  }

  private add(text: string, key: string, isProperty: boolean): Word {
    const word = { text, key, isProperty, rivals: new Set<Word>(), uses: [], name: "" };
    this.words.push(word);
    this.byKey.set(key, word);
    return word;
  }

  private property(name: string, at: number): Word {
    const word = this.byKey.get(`.${name}`) ?? this.add(name, `.${name}`, true);
    word.uses.push(at);
    return word;
  }

  private variable(variable: Variable, at: number): Word {
    let word = this.byVariable.get(variable);
    if (!word) {
      const text = unnumbered(variable.name);
      const place = `${variable.place} ${text}`;
      let key = place;
      for (let more = 2; this.byKey.has(key); more++) key = `${place} ${more}`;
      word = this.add(text, key, false);
      this.byVariable.set(variable, word);
    }
    word.uses.push(at);
    return word;
  }

  /** Whether the word may have its name beside those of its rivals. */
  isSound({ name, isProperty, rivals }: Word): boolean {
    if (this.fixed.has(name) || (isProperty && this.properties.isOutside(name))) return false;
    for (const rival of rivals) if (rival.name === name) return false;
    return true;
  }

  /** Writes the words' names as they are now into the text. */
  write(words: Iterable<Word>): void {
    for (const { uses } of words) {
      for (const at of uses) {
        const piece = this.pieces[at];
        if (piece) this.texts[at] = piece.before + nameOf(piece);
      }
    }
  }

  /** The text with the names that were written. */
  print(): string {
    return this.texts.join("") + this.rest;
  }

  /** Gives every word a name: the known one where there is one, else the first that is free. */
  begin(known: Names, kept: string): void {
    for (const [at, { before, ...piece }] of this.pieces.entries())
      this.texts[at] = before + nameOf(piece);
    const words = [...this.words].sort((a, b) => b.uses.length - a.uses.length);
    for (const word of words) {
      if (word.text === kept) word.name = kept;
      const names = [known[word.key], word.isProperty ? undefined : known[word.text]];
      word.name ||= names.find((name) => name && this.isSound({ ...word, name })) ?? "";
    }
    for (const word of words)
      word.name ||= NAMES.find((name) => this.isSound({ ...word, name })) ?? word.text;
    this.write(words);
  }
}

function nameOf({ role, property, variable }: Omit<Piece, "before">): string {
  if (role === "property") return property.name;
  if (role === "export") return `${variable.name} as ${property.name}`;
  if (role === "variable" || property.name === variable.name) return variable.name;
  return `${property.name}:${variable.name}`;
}

/** Names by the key of a word, or by its text, as they were found for an earlier text. */
export type Names = Readonly<Record<string, string>>;

/** What {@link Bundle.begin} needs to come to these names again. */
function namesOf(words: readonly Word[]): Names {
  const names = new Map<string, string>();
  const often = new Map<string, number>();
  for (const { text, name, isProperty } of words) {
    if (isProperty) continue;
    const count = (often.get(`${text} ${name}`) ?? 0) + 1;
    often.set(`${text} ${name}`, count);
    if (count > (often.get(text) ?? 0)) {
      often.set(text, count);
      names.set(text, name);
    }
  }
  for (const { key, text, name, isProperty } of words)
    if (isProperty || names.get(text) !== name) names.set(key, name);
  return Object.fromEntries([...names].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The code with short names, and what they are.
 * @param kept a variable that keeps its name.
 * @param known names to begin with.
 * @param tries changes of names that are tried: each takes a millisecond.
 */
export function shorten(
  code: string,
  properties: Properties,
  kept: string,
  known: Names,
  tries: number,
): { code: string; names: Names } {
  const bundle = new Bundle(code, properties);
  const words = bundle.words.filter(({ text }) => text !== kept);
  bundle.begin(known, kept);
  search(bundle, words, tries);
  const short = bundle.print();
  prove(code, short);
  return { code: short, names: namesOf(words) };
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
