// Who is in a room, and who is typing in it.

import { element } from "./dom.js";
import { initials, shownName } from "./names.js";

const SHOWN_MAX = 6;
const TYPING_MS = 5000;
const QUIET_MS = 2000;

/** Shows the members of a room as a list; `whose` says which end a member is. */
export function showPeople(list, presence, whose) {
  const members = [...presence.members.values()];
  const rank = { mine: 0, peer: 1, other: 2 };
  members.sort((a, b) => rank[whose(a.id)] - rank[whose(b.id)]);
  const chips = members.slice(0, SHOWN_MAX).map((member) => {
    const side = whose(member.id);
    const name = shownName(member.info?.name);
    const chip = element("li", `person ${side} ${member.state === "away" ? "away" : "online"}`);
    const words = [name, side === "mine" ? "(you)" : "", member.state === "away" ? "(away)" : ""].filter(Boolean);
    const avatar = element("span", "avatar", initials(name));
    avatar.setAttribute("aria-hidden", "true");
    chip.append(avatar, element("span", "", words.join(" ")));
    return chip;
  });
  const more = Math.max(members.length, presence.count ?? 0) - chips.length;
  if (more > 0) chips.push(element("li", "person more", `and ${more} more`));
  list.replaceChildren(...chips);
}

/** Who is typing: each for five seconds after the last sign of it, and nobody while the line is down. */
export class Typing {
  #root;
  #words;
  #names = new Map();
  #quietUntil = Infinity;

  constructor(root) {
    this.#root = root;
    this.#words = root.querySelector(".typing-text");
    this.#show();
  }

  /** Someone typed, or (with `typing` false) cleared the line. */
  heard(id, name, typing) {
    if (!typing) return this.stopped(id);
    if (performance.now() < this.#quietUntil) return;
    clearTimeout(this.#names.get(id)?.timer);
    this.#names.set(id, { name: shownName(name), timer: setTimeout(() => this.stopped(id), TYPING_MS) });
    this.#show();
  }

  /** Someone said it, or gave up. */
  stopped(id) {
    clearTimeout(this.#names.get(id)?.timer);
    if (this.#names.delete(id)) this.#show();
  }

  /** The line went down: what was typed before is not news when it comes back. */
  lineDown() {
    this.#quietUntil = Infinity;
    this.reset();
  }

  /** Another room: nobody is typing in it yet. */
  reset() {
    for (const { timer } of this.#names.values()) clearTimeout(timer);
    this.#names.clear();
    this.#show();
  }

  /** The line is up again; what the gateway repeats in the first two seconds is passed over. */
  lineUp() {
    if (this.#quietUntil === Infinity) this.#quietUntil = performance.now() + QUIET_MS;
  }

  #show() {
    const names = [...this.#names.values()].map(({ name }) => name);
    this.#root.classList.toggle("on", names.length > 0);
    this.#words.textContent = names.length === 0 ? ""
      : names.length < 3 ? `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing`
        : `${names.length} people are typing`;
  }
}
