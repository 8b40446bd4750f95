// The page's side of an end: builds a pane from the template and says what its parts show.

import { element } from "./dom.js";

/** What the visitor may force; "auto" allows all. */
export const TRANSPORTS = [
  { value: "auto", label: "Auto", allowed: ["websocket", "stream", "sse", "poll"] },
  { value: "websocket", label: "WebSocket", allowed: ["websocket"] },
  { value: "stream", label: "Stream", allowed: ["stream"] },
  { value: "sse", label: "SSE", allowed: ["sse"] },
  { value: "poll", label: "Poll", allowed: ["poll"] },
];
export const ROOMS = ["lobby", "design", "random"];

const PHRASES = {
  connecting: "Connecting…",
  reconnecting: "Line lost, reconnecting…",
  failed: "Gave up",
  closed: "Closed",
  unplugged: "Unplugged",
};

/** The word for a transport that the gateway names. */
export function transportLabel(transport) {
  return TRANSPORTS.find(({ value }) => value === transport)?.label ?? String(transport ?? "");
}

export class Pane {
  /** `on` holds what the visitor can do: say, type, room, transport, cut, plug, rename. */
  constructor(side, title, placeholder, on) {
    const root = document.querySelector("#pane").content.firstElementChild.cloneNode(true);
    const part = (selector) => root.querySelector(selector);
    this.root = root;
    this.log = part(".log");
    this.people = part(".people");
    this.typing = part(".typing");
    this.state = part(".state");
    this.name = part(".name-input");
    this.trouble = part(".trouble");
    this.cut = part(".cut");
    this.plug = part(".unplug");

    root.dataset.side = side;
    part(".pane-title").textContent = title;
    part(".pane-title").id = `${side}-title`;
    root.setAttribute("aria-labelledby", `${side}-title`);
    this.log.setAttribute("aria-label", `Messages, ${title.toLowerCase()}`);

    this.#transports(side, part(".transports"), on.transport);
    this.#rooms(part(".rooms"), on.room);
    this.#composer(side, title, placeholder, part(".composer"), on);
    this.cut.addEventListener("click", () => on.cut());
    this.plug.addEventListener("click", () => on.plug());
    this.name.addEventListener("change", () => on.rename(this.name.value));
    this.name.addEventListener("keydown", ({ key }) => {
      if (key === "Enter") this.name.blur();
    });
  }

  /** Shows the state in words, and as the colour of the lamp. */
  showState(state, transport) {
    const text = state === "connected" ? `Live · ${transportLabel(transport)}` : PHRASES[state] ?? state;
    const words = this.state.querySelector(".state-text");
    this.state.dataset.state = state;
    if (words.textContent !== text) words.textContent = text;
    this.cut.disabled = state !== "connected";
    this.plug.textContent = { unplugged: "Plug in", failed: "Reconnect", closed: "Reconnect" }[state] ?? "Unplug";
    this.plug.classList.toggle("inviting", this.plug.textContent !== "Unplug");
  }

  showRoom(name) {
    for (const button of this.root.querySelectorAll(".room")) {
      button.setAttribute("aria-pressed", String(button.value === name));
    }
  }

  showCounters(ledger) {
    for (const cell of this.root.querySelectorAll("[data-count]")) {
      const count = ledger[cell.dataset.count];
      cell.textContent = String(count);
      cell.parentElement.classList.toggle("bad", count > 0 && cell.dataset.count !== "received");
    }
  }

  #transports(side, fieldset, choose) {
    for (const { value, label } of TRANSPORTS) {
      const choice = element("label", "transport");
      const radio = element("input");
      Object.assign(radio, { type: "radio", name: `${side}-transport`, value, checked: value === "auto", autocomplete: "off" });
      radio.addEventListener("change", () => choose(value));
      choice.append(radio, element("span", "", label));
      fieldset.append(choice);
    }
  }

  #rooms(group, choose) {
    for (const name of ROOMS) {
      const button = element("button", "room", name);
      Object.assign(button, { type: "button", value: name });
      button.addEventListener("click", () => choose(name));
      group.append(button);
    }
  }

  #composer(side, title, placeholder, form, on) {
    const input = form.querySelector(".composer-input");
    const label = form.querySelector("label");
    input.id = `${side}-composer`;
    input.placeholder = placeholder;
    label.htmlFor = input.id;
    label.textContent = `Message, ${title.toLowerCase()}`;
    input.addEventListener("input", () => on.type(input.value.trim() !== ""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text && on.say(text)) input.value = "";
    });
  }
}
