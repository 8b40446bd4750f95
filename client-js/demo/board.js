// Live scores by the browser's own EventSource: the read-only feed of one channel, no SDK.

import { element } from "./dom.js";
import { nonce } from "./names.js";

const CHANNEL = "scores:live";
const RETRY_MS = 10_000;
const MATCHES_MAX = 12;
const GOAL_MS = 4000;

export class Board {
  #parts;
  #rows = new Map();

  /** `parts`: the `list` of matches, the word shown while it is `empty`, the `state` of the feed, and the `news` read aloud. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Opens the feed. The browser reconnects by itself; a refusal ends it, so that one is tried again. */
  open() {
    const source = new EventSource(`/realtime/feed/${nonce()}?channel=${encodeURIComponent(CHANNEL)}`);
    source.addEventListener("open", () => this.#say("live", "Live by EventSource"));
    source.addEventListener("message", ({ data }) => this.#frame(data));
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return this.#say("waiting", "Reconnecting…");
      this.#say("refused", "The feed was refused, trying again soon");
      setTimeout(() => this.open(), RETRY_MS);
    });
  }

  #say(state, words) {
    this.#parts.state.dataset.state = state;
    this.#parts.state.textContent = words;
  }

  #frame(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame.t === "event" && frame.ch === CHANNEL && typeof frame.key === "string") this.#score(frame.key, frame.data);
  }

  #score(key, data) {
    if (typeof data !== "object" || data === null) return;
    const score = {
      home: teamName(data.home, "Home"),
      away: teamName(data.away, "Away"),
      home_goals: goals(data.home_goals),
      away_goals: goals(data.away_goals),
      minute: goals(data.minute),
    };
    const row = this.#rows.get(key) ?? this.#row(key);
    if (!row) return;
    for (const [part, value] of Object.entries(score)) {
      const cell = row.cells[part];
      const scored = row.score && part.endsWith("_goals") && value > row.score[part];
      if (cell.textContent !== String(value)) cell.textContent = String(value);
      if (scored) this.#cheer(row, cell, score);
    }
    row.cells.minute.textContent = score.minute >= 90 ? "FT" : `${score.minute}′`;
    row.score = score;
  }

  #cheer(row, cell, score) {
    this.#parts.news.textContent = `Goal: ${score.home} ${score.home_goals}, ${score.away} ${score.away_goals}`;
    clearTimeout(row.timer);
    for (const one of [row.root, ...Object.values(row.cells)]) one.classList.remove("goal");
    // Reading the layout between the two lets the animation start again for the next goal.
    row.root.getBoundingClientRect();
    for (const one of [row.root, cell]) one.classList.add("goal");
    row.timer = setTimeout(() => {
      for (const one of [row.root, cell]) one.classList.remove("goal");
    }, GOAL_MS);
  }

  #row(key) {
    if (this.#rows.size >= MATCHES_MAX) return null;
    const root = element("li", "match");
    const cells = {};
    for (const part of ["minute", "home", "home_goals", "away_goals", "away"]) {
      cells[part] = element("span", part.endsWith("_goals") ? "goals" : part);
    }
    const dash = element("span", "dash", "–");
    root.append(cells.minute, cells.home, cells.home_goals, dash, cells.away_goals, cells.away, element("span", "cheer", "Goal!"));
    this.#parts.list.append(root);
    this.#parts.empty.hidden = true;
    const row = { root, cells, score: null, timer: 0 };
    this.#rows.set(key, row);
    return row;
  }
}

function teamName(value, fallback) {
  return typeof value === "string" && value.trim() ? value.trim().slice(0, 24) : fallback;
}

function goals(value) {
  return Number.isFinite(value) ? Math.max(0, Math.min(199, Math.trunc(value))) : 0;
}
