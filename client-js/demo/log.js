// The messages of one room at one end: stored ones in order of position, below them those on their way.

import { element } from "./dom.js";
import { parsePosition } from "./ledger.js";
import { initials, shownName } from "./names.js";

const SHOWN_MAX = 300;
const TEXT_CHARS_MAX = 2000;
const NEAR_BOTTOM_PX = 80;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export class Log {
  #settled = element("ol", "settled");
  #outgoing = element("ol", "outgoing");
  #items = [];
  #pending = new Map();
  #online = false;
  #scroller = null;

  /** Puts this room's messages into the pane. */
  show(scroller) {
    this.#scroller = scroller;
    scroller.replaceChildren(this.#settled, this.#outgoing);
    this.#toBottom();
  }

  /** Takes them out of it: what still arrives is kept for the next `show`. */
  hide() {
    this.#scroller = null;
  }

  /** Whether the line is up, for the words beside messages on their way. */
  online(online) {
    this.#online = online;
    for (const item of this.#pending.values()) if (!item.failed) this.#describe(item);
  }

  /** A message starts on its way. */
  send(id, { text, name }) {
    const item = { id, failed: false, ...this.#message({ text, name, whose: "mine", at: Date.now() }) };
    this.#pending.set(id, item);
    this.#outgoing.append(item.root);
    this.#describe(item);
    this.#toBottom();
  }

  /** It was refused, or its outcome is unknown; `again` sends it once more under the same id. */
  failed(id, reason, again) {
    const item = this.#pending.get(id);
    if (!item) return;
    item.failed = true;
    const button = element("button", "again", "Try again");
    button.type = "button";
    button.addEventListener("click", () => {
      item.failed = false;
      this.#describe(item);
      again();
    });
    item.delivery.className = "delivery failed";
    item.delivery.replaceChildren(`failed: ${reason} `, button);
    this.#toBottom();
  }

  /** A message stands at a position, whoever said so: its event, its receipt or the history. */
  settle(event) {
    const at = parsePosition(event.position);
    const near = this.#isNearBottom();
    const pending = this.#pending.get(event.id);
    if (pending) {
      this.#pending.delete(event.id);
      pending.root.remove();
    }
    const known = this.#items.some((item) => at && item.epoch === at.epoch && item.offset === at.offset);
    if (known || !at) return;
    const item = { ...at, ...this.#message({ ...event, whose: pending ? "mine" : event.whose }) };
    item.offsetText.textContent = `#${at.offset}`;
    item.offsetText.title = `Position ${event.position}`;
    if (pending || event.whose === "mine") {
      item.delivery.className = "delivery stored";
      item.delivery.textContent = "✓ stored";
    }
    this.#insert(item);
    if (near || pending) this.#toBottom();
  }

  /** A remark between messages; answers the function that rewords it. */
  note(text, kind = "plain") {
    const near = this.#isNearBottom();
    const root = element("li", `note ${kind}`);
    const words = element("span", "", text);
    root.append(words);
    this.#insert({ root });
    if (near) this.#toBottom();
    return (reworded) => {
      words.textContent = reworded;
    };
  }

  #insert(item) {
    const later = item.offset === undefined ? -1
      : this.#items.findIndex((other) => other.epoch === item.epoch && other.offset > item.offset);
    const index = later < 0 ? this.#items.length : later;
    this.#settled.insertBefore(item.root, this.#items[index]?.root ?? null);
    this.#items.splice(index, 0, item);
    for (const position of [index, index + 1]) this.#group(position);
    while (this.#items.length > SHOWN_MAX) this.#items.shift().root.remove();
  }

  /** Consecutive messages of one author show the name once. */
  #group(index) {
    const item = this.#items[index];
    const author = this.#items[index - 1]?.author;
    item?.root.classList.toggle("same", item.author !== undefined && item.author === author);
  }

  #describe(item) {
    item.delivery.className = "delivery sending";
    item.delivery.textContent = this.#online ? "sending…" : "waiting for the line…";
  }

  #message({ text, name, whose, at, by }) {
    const who = shownName(name);
    const root = element("li", `message ${whose}`);
    const head = element("p", "who");
    const time = element("time", "", clock.format(at));
    const avatar = element("span", "avatar", initials(who));
    avatar.setAttribute("aria-hidden", "true");
    head.append(avatar, element("b", "", whose === "mine" ? `${who} (you)` : who), time);
    const meta = element("p", "meta");
    const offsetText = element("span", "offset");
    const delivery = element("span", "delivery");
    time.dateTime = new Date(at).toISOString();
    meta.append(offsetText, delivery);
    root.append(head, element("p", "bubble", String(text ?? "").slice(0, TEXT_CHARS_MAX)), meta);
    return { root, author: `${by ?? whose}/${who}`, offsetText, delivery };
  }

  #isNearBottom() {
    const box = this.#scroller;
    return box !== null && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_BOTTOM_PX;
  }

  #toBottom() {
    if (this.#scroller) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
