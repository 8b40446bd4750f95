// One end of the conversation: a client of its own, its cable, and the pane that shows them.

import { Cable } from "./cable.js";
import { Ledger } from "./ledger.js";
import { randomName, shownName } from "./names.js";
import { Pane, ROOMS, TRANSPORTS, transportLabel } from "./pane.js";
import { Typing } from "./people.js";
import { Room } from "./room.js";

const OWN_IDS_MAX = 50;
const CLOSE_WAIT_MS = 1000;
const CATCH_UP_WAIT_MS = 3000;

export class End {
  ledger = new Ledger();
  client = null;
  other = null;
  #side;
  #connect;
  #line;
  #cable = new Cable();
  #allowed = TRANSPORTS[0].allowed;
  #ownIds;
  #rooms = new Map();
  #room = null;
  #outage = null;
  #isRestarting = false;

  /** `connect` is the SDK's; `line` is the picture of the cables. */
  constructor({ side, title, placeholder, connect, line }) {
    this.#side = side;
    this.#connect = connect;
    this.#line = line;
    this.name = sessionStorage.getItem(this.#key("name")) ?? randomName();
    this.#ownIds = new Set(JSON.parse(sessionStorage.getItem(this.#key("ids")) ?? "[]"));
    this.pane = new Pane(side, title, placeholder, {
      say: (text) => {
        const isSent = this.#room.say(text);
        if (isSent && this.isUp) this.#line.bead(this.#side, "up", this.#side);
        return isSent;
      },
      type: (typing) => this.#room.typed(typing),
      room: (name) => this.#enter(name),
      transport: (value) => this.#force(value),
      cut: () => this.client.cut(),
      plug: () => this.#plug(),
      rename: (name) => this.#rename(name),
    });
    this.pane.name.value = this.name;
    this.typing = new Typing(this.pane.typing);
    for (const name of ROOMS) this.#rooms.set(name, new Room(name, this, this.pane));
  }

  /** Connects and enters the first room. */
  start() {
    this.#remember();
    this.#open();
    this.#enter(ROOMS[0]);
  }

  /** Whether frames get through at this moment. */
  get isUp() {
    return this.#cable.plugged && this.client.state === "connected";
  }

  /** Who a member is, seen from here: "mine", "peer" (the other end of this page) or "other". */
  whose(id) {
    if (this.#ownIds.has(id)) return "mine";
    return this.other?.owns(id) ? "peer" : "other";
  }

  /** Whether this end has spoken under that member id. */
  owns(id) {
    return this.#ownIds.has(id);
  }

  /** An event was handed to this end. */
  heard({ by }) {
    this.counted();
    if (this.#outage) this.#outage.caughtUp += 1;
    const whose = this.whose(by);
    const otherSide = this.#side === "left" ? "right" : "left";
    const sender = { mine: this.#side, peer: otherSide, other: "other" }[whose];
    if (whose !== "mine") this.#line.bead(this.#side, "down", sender);
  }

  /** The ledger changed. */
  counted() {
    this.pane.showCounters(this.ledger);
  }

  #open() {
    const client = this.#connect("/realtime", {
      info: { name: this.name },
      resume: this.#key("session"),
      transports: this.#allowed,
      env: this.#cable.env,
    });
    const current = (handle) => (detail) => {
      if (client === this.client) handle(detail);
    };
    this.client = client;
    client.on("state", current(() => this.#state()));
    client.on("caught_up", current(() => this.#caughtUp()));
    client.on("error", current((error) => {
      this.pane.trouble.textContent = error.hint ?? error.message;
    }));
    this.#state();
  }

  #state() {
    const { state, transport, me } = this.client;
    if (me && !this.#ownIds.has(me.id)) this.#remember(me.id);
    const shown = this.#cable.plugged ? state : "unplugged";
    const looks = { connected: transport ?? "down", unplugged: "unplugged" };
    const labels = { connected: transportLabel(transport), unplugged: "unplugged" };
    this.pane.showState(shown, transport);
    this.#line.show(this.#side, looks[shown] ?? "down", labels[shown] ?? "…");
    for (const room of this.#rooms.values()) room.log.online(this.isUp);
    if (this.isUp) this.#lineUp();
    else this.#lineDown(shown);
  }

  #lineUp() {
    this.pane.trouble.textContent = "";
    if (this.#outage === null) return this.typing.lineUp();
    const outage = this.#outage;
    if (outage.back) return;
    outage.back = true;
    this.typing.lineUp();
    const seconds = ((performance.now() - outage.since) / 1000).toFixed(1);
    outage.words = `Back after ${seconds} s over ${transportLabel(this.client.transport)}`;
    outage.reword = this.#room.log.note(`${outage.words}.`, "up");
    setTimeout(() => this.#caughtUp(outage), CATCH_UP_WAIT_MS);
  }

  #lineDown(shown) {
    this.typing.lineDown();
    const isLoss = shown === "reconnecting" || shown === "unplugged";
    if (!isLoss || (this.#outage && !this.#outage.back)) return;
    this.#outage = { since: performance.now(), back: false, caughtUp: 0 };
    this.#room.log.note(shown === "unplugged" ? "Unplugged." : "The line was cut.", "down");
  }

  #caughtUp(outage = this.#outage) {
    if (outage === null || outage !== this.#outage || !outage.back) return;
    this.#outage = null;
    const { caughtUp, words, reword } = outage;
    const what = caughtUp === 0 ? "nothing was missed" : `caught up on ${caughtUp} message${caughtUp === 1 ? "" : "s"}`;
    reword(`${words}, ${what}.`);
  }

  #enter(name) {
    const room = this.#rooms.get(name);
    if (room === this.#room) return;
    this.#room?.leave();
    this.typing.reset();
    this.#room = room;
    this.pane.showRoom(name);
    if (!this.#isRestarting) room.enter();
  }

  #force(value) {
    this.#allowed = TRANSPORTS.find((choice) => choice.value === value).allowed;
    if (!this.#isRestarting) this.client.use(this.#allowed);
  }

  #plug() {
    if (this.#isRestarting) return;
    if (this.client.state === "failed" || this.client.state === "closed") return this.#restart();
    this.#cable.plugged = !this.#cable.plugged;
    if (this.#cable.plugged) this.client.use(this.#allowed);
    else this.client.cut();
    this.#state();
  }

  #rename(value) {
    const name = shownName(value, this.name);
    this.pane.name.value = name;
    if (name === this.name) return;
    this.name = name;
    this.#remember();
    this.#restart();
  }

  /** Ends the session and begins another: a name is given once, when a session opens. */
  async #restart() {
    if (this.#isRestarting) return;
    this.#isRestarting = true;
    const previous = this.client;
    this.#room.leave();
    this.#outage = null;
    this.#cable.plugged = true;
    const patience = new Promise((resolve) => setTimeout(resolve, CLOSE_WAIT_MS));
    await Promise.race([previous.close().catch(() => {}), patience]);
    this.#isRestarting = false;
    this.#open();
    this.#room.enter();
  }

  #remember(id) {
    if (id) this.#ownIds.add(id);
    const ids = [...this.#ownIds].slice(-OWN_IDS_MAX);
    sessionStorage.setItem(this.#key("ids"), JSON.stringify(ids));
    sessionStorage.setItem(this.#key("name"), this.name);
  }

  #key(what) {
    return `demo-${this.#side}-${what}`;
  }
}
