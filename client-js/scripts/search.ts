/** Better names by trying: simulated annealing of what gzip makes of the whole. */
import { gzipSync } from "node:zlib";
import type { Bundle, Word } from "./names.ts";

/** In the order in which names begin: as often as they are in code about. */
export const LETTERS: readonly string[] = [
  ..."etnriasocludpfmhg_vybxSCwTEDOkAjMNPFILRzBVHUWGKqJYXZQ$",
];

/** By how much a change may make the whole larger at first, about. */
const WORSE_BYTES = 0.2;
/** The part of the changes that concerns all words of one name in the source that have one name. */
const TOGETHER = 0.3;
/** The part that gives a word the name that it has in the source: of a pair only one is then written. */
const AS_IT_WAS = 0.06;
/** The part that gives a property a name of two letters: there are more than names of one. */
const TWO_LETTERS = 0.1;

/** The same sequence in each build (Park and Miller's generator); from 0 to below 1. */
function dice(): () => number {
  let seed = 1;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

const sizeOf = (code: string): number => gzipSync(code, { level: 9 }).length;

/**
 * Gives a word another name, and its old one to those that had it, where the whole becomes no larger, or at
 * first not much. What was best is what is written at the end.
 */
export function search(bundle: Bundle, words: readonly Word[], tries: number): void {
  const roll = dice();
  const one = <T>(of: readonly T[]): T | undefined => of[Math.floor(roll() * of.length)];
  const often = [...words].sort((a, b) => b.uses.length - a.uses.length);
  const namesakes = new Map<string, Word[]>();
  for (const word of words) namesakes.set(word.text, [...(namesakes.get(word.text) ?? []), word]);
  let size = sizeOf(bundle.print());
  let best = { size, names: words.map(({ name }) => name) };
  for (let tried = 0; tried < tries; tried++) {
    // What is used often matters more.
    const word = often[Math.floor(roll() ** 1.5 * often.length)];
    if (!word) return;
    const kind = roll();
    let name = kind < AS_IT_WAS ? word.text : one(LETTERS);
    if (word.isProperty && kind > 1 - TWO_LETTERS) name = `${one(LETTERS)}${name}`;
    const before = word.name;
    if (!name || name === before) continue;
    const all = roll() < TOGETHER ? (namesakes.get(word.text) ?? []) : [word];
    const given = new Set(all.filter((other) => other.name === before));
    const moved = new Set(given);
    for (const { rivals } of given)
      for (const rival of rivals) if (rival.name === name) moved.add(rival);
    for (const other of moved) other.name = given.has(other) ? name : before;
    const sound = [...moved].every((other) => bundle.isSound(other));
    if (sound) bundle.write(moved);
    const now = sound ? sizeOf(bundle.print()) : Infinity;
    const worse = -WORSE_BYTES * (1 - tried / tries) * Math.log(roll());
    if (now <= size + worse) size = now;
    else {
      for (const other of moved) other.name = given.has(other) ? before : name;
      if (sound) bundle.write(moved);
    }
    if (size < best.size) best = { size, names: words.map(({ name }) => name) };
  }
  for (const [at, word] of words.entries()) word.name = best.names[at] ?? word.name;
  bundle.write(words);
}
