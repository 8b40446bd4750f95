// Development only: plays three made-up matches by publishing to the gateway's HTTP API with the key that the
// development configuration ships. An application's backend would do this; a page never holds an API key.

const KEY = "dev";
const PATH = "/api/publish";
const CHANNEL = "scores:live";
const TICK_MS = 1500;
const FULL_TIME = 90;
const GOAL_CHANCE = 0.14;
const FIXTURES = [
  ["Harbour Town", "Old Mill"],
  ["Castle Hill", "Riverside"],
  ["Northgate", "Station Road"],
];

/** The request as a command to copy. */
export function curlCommand(origin) {
  const body = { channel: CHANNEL, key: "match-1", data: score(FIXTURES[0], 2, 1, 67) };
  return [
    `curl -X POST ${origin}${PATH} \\`,
    `  -H 'Authorization: Bearer ${KEY}' \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${JSON.stringify(body)}'`,
  ].join("\n");
}

export class KickOff {
  #button;
  #state;
  #timer = 0;
  #minute = 0;
  #matches = [];

  constructor({ button, state }) {
    this.#button = button;
    this.#state = state;
  }

  /** Starts the matches, or blows the whistle. */
  toggle() {
    if (this.#timer) return this.#stop("Stopped. The board keeps the last scores.");
    this.#minute = 0;
    this.#matches = FIXTURES.map((teams, index) => ({ key: `match-${index + 1}`, teams, home: 0, away: 0 }));
    this.#button.textContent = "Blow the whistle";
    this.#state.textContent = "Playing: a minute and a half of football, goals as they fall.";
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  async #tick() {
    const timer = this.#timer;
    for (const match of this.#matches) {
      if (this.#minute > 0 && Math.random() < GOAL_CHANCE) match[Math.random() < 0.55 ? "home" : "away"] += 1;
    }
    const minute = this.#minute;
    this.#minute = Math.min(FULL_TIME, minute + 1 + Math.floor(Math.random() * 2));
    try {
      await Promise.all(this.#matches.map((match) => publish(match, minute)));
      if (minute >= FULL_TIME && timer === this.#timer) this.#stop("Full time.");
    } catch (error) {
      if (timer === this.#timer) this.#stop(`The gateway refused: ${error.message}`);
    }
  }

  #stop(words) {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#button.textContent = "Kick off";
    this.#state.textContent = words;
  }
}

async function publish({ key, teams, home, away }, minute) {
  const answer = await fetch(PATH, {
    method: "POST",
    headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ channel: CHANNEL, key, data: score(teams, home, away, minute) }),
  });
  if (answer.ok) return;
  const body = await answer.json().catch(() => ({}));
  throw new Error(body.message ?? `HTTP ${answer.status}`);
}

function score([home, away], homeGoals, awayGoals, minute) {
  return { home, away, home_goals: homeGoals, away_goals: awayGoals, minute };
}
