// Friendly names for visitors, and what is done to names that others chose.

const FIRST = [
  "Brave", "Calm", "Clever", "Curious", "Gentle", "Jolly", "Kind", "Lucky",
  "Merry", "Nimble", "Patient", "Quick", "Quiet", "Sunny", "Swift", "Witty",
];
const SECOND = [
  "Badger", "Beaver", "Falcon", "Finch", "Fox", "Hare", "Heron", "Ibis",
  "Lynx", "Marten", "Otter", "Owl", "Puffin", "Robin", "Tern", "Wren",
];
const NAME_CHARS_MAX = 32;

/** A random name of two words. */
export function randomName() {
  return `${pick(FIRST)} ${pick(SECOND)}`;
}

/** A name as it may be shown: one line of at most 32 characters, or the fallback. */
export function shownName(value, fallback = "Someone") {
  if (typeof value !== "string") return fallback;
  const name = value.replace(/\s+/gu, " ").trim();
  return Array.from(name).slice(0, NAME_CHARS_MAX).join("") || fallback;
}

/** The first letters of the first two words. */
export function initials(name) {
  return name.split(" ").slice(0, 2).map((word) => Array.from(word)[0] ?? "").join("").toUpperCase();
}

/** A random word of the given number of bytes, in lower-case hex. */
export function nonce(bytes = 8) {
  const dice = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(dice, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pick(words) {
  return words[Math.floor(Math.random() * words.length)];
}
