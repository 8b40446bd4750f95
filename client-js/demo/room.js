// One room at one end: its channel, its history, the typing beside it.

import { Log } from "./log.js";
import { nonce } from "./names.js";
import { showPeople } from "./people.js";

const HISTORY_PAGE = 1000;
const HISTORY_PAGES_MAX = 5;
const TYPING_EVERY_MS = 2000;
const GAPS = {
  epoch: "The gateway's log began anew: what came before is gone.",
  trimmed: "Away for too long: the oldest of the missed messages are no longer kept.",
  ahead: "The gateway's log is shorter than it was: some messages are gone.",
  tag: "The gateway's log is not the one read before: some messages are gone.",
};

export class Room {
  log = new Log();
  #name;
  #end;
  #pane;
  #offs = [];
  #channel = null;
  #typing = null;
  #typedAt = -TYPING_EVERY_MS;

  /** `end` is the owner (client, ledger, typing, `whose`, `heard`); nothing happens before `enter`. */
  constructor(name, end, pane) {
    this.#name = name;
    this.#end = end;
    this.#pane = pane;
  }

  /** Subscribes, shows the room, and fills in what was said before. */
  async enter() {
    const { client, ledger } = this.#end;
    const channel = client.channel(`chat:${this.#name}`, { presence: true });
    this.#channel = channel;
    this.#typing = client.channel(`typing:${this.#name}`);
    const people = () => showPeople(this.#pane.people, channel.presence, (id) => this.#end.whose(id));
    this.#offs = [
      channel.on("event", (event) => this.#event(event)),
      channel.on("gap", ({ reason, position }) => {
        ledger.gap(channel, position);
        this.#end.counted();
        this.log.note(GAPS[reason] ?? `Some messages are gone (${reason}).`, "gap");
      }),
      channel.presence.on("change", people),
      this.#typing.on("event", ({ by, data }) => {
        if (this.#end.whose(by) !== "mine") this.#end.typing.heard(by, data?.name, data?.typing === true);
      }),
    ];
    this.log.show(this.#pane.log);
    people();
    await this.#history(channel);
  }

  /** Unsubscribes; the messages stay for the next visit. */
  leave() {
    for (const off of this.#offs.splice(0)) off?.();
    this.log.hide();
    this.#end.ledger.left(this.#channel);
    this.#channel?.unsubscribe();
    this.#typing?.unsubscribe();
    this.#channel = null;
    this.#typing = null;
  }

  /**
   * Publishes a message, and again under the same id if the visitor asks for it.
   * False, and nothing done, while there is no channel to publish to.
   */
  say(text) {
    const id = nonce();
    const data = { text, name: this.#end.name };
    const channel = this.#channel;
    if (!channel) return false;
    this.#typedAt = -TYPING_EVERY_MS;
    this.log.send(id, data);
    const attempt = async () => {
      try {
        const { position } = await channel.publish(data, { id });
        this.log.settle({ id, position, at: Date.now(), by: this.#end.client.me?.id, whose: "mine", ...data });
      } catch (error) {
        this.log.failed(id, error.hint ?? error.message, attempt);
      }
    };
    attempt();
    return true;
  }

  /** The visitor types, or has cleared the line. Ephemeral: sent while the line is up, or not at all. */
  typed(typing) {
    const now = performance.now();
    if (!this.#typing || !this.#end.isUp || (typing && now - this.#typedAt < TYPING_EVERY_MS)) return;
    this.#typedAt = typing ? now : -TYPING_EVERY_MS;
    this.#typing.publish({ typing, name: this.#end.name }).catch(() => {});
  }

  #event(event) {
    this.#end.ledger.event(this.#channel, event.position);
    this.#end.typing.stopped(event.by);
    this.#end.heard(event);
    this.#settle(event);
  }

  #settle({ id, position, at, by, data }) {
    // A backend may publish a bare string.
    const text = typeof data === "string" ? data : data?.text;
    this.log.settle({ id, position, at, by, whose: this.#end.whose(by), text, name: data?.name });
  }

  async #history(channel) {
    this.#pane.log.setAttribute("aria-busy", "true");
    try {
      let since = "0";
      for (let page = 0; page < HISTORY_PAGES_MAX; page += 1) {
        const { events, position, more } = await channel.history({ since, limit: HISTORY_PAGE });
        for (const event of events) this.#settle(event);
        if (!more) return;
        since = position;
      }
    } catch (error) {
      if (channel === this.#channel) this.log.note(`What was said before could not be fetched: ${error.message}`, "gap");
    } finally {
      this.#pane.log.removeAttribute("aria-busy");
    }
  }
}
