// The page: each way to the gateway as a stop on a line, what was found, and the text to send.

import { copies } from "./copy.js";
import { element } from "./dom.js";

const GATEWAY = "/realtime";

const STOPS = {
  exchange: "Request",
  websocket: "WebSocket",
  stream: "Stream",
  sse: "Event stream",
  poll: "Long wait",
  bodies: "Bodies",
};

const WEIGHTS = { blocks: "blocks the gateway", limits: "makes it slower", note: "for your information" };

const byId = (id) => document.getElementById(id);

byId("again").addEventListener("click", () => look());
copies(byId("copy"), byId("text"));
await look();

async function look() {
  byId("report").hidden = true;
  byId("findings").replaceChildren();
  say("Looking…");
  const stops = showStops();
  let diagnose;
  try {
    ({ diagnose } = await import(`${GATEWAY}/diagnose.mjs`));
  } catch (error) {
    byId("notice").hidden = false;
    byId("notice").textContent = `The diagnosis did not load from ${GATEWAY}/diagnose.mjs: ${error.message}`;
    return;
  }
  let last;
  const diagnosis = await diagnose(GATEWAY, {
    onStep(step) {
      if (last) mark(stops[last], "done");
      mark(stops[step], "now", "trying…");
      last = step;
    },
  });
  showResults(stops, diagnosis);
}

function showStops() {
  const stops = {};
  for (const [step, title] of Object.entries(STOPS)) {
    const stop = element("li", "stop", title);
    stop.append(element("small", "", " "));
    stops[step] = stop;
  }
  byId("stops").replaceChildren(...Object.values(stops));
  return stops;
}

function mark(stop, state, words = "") {
  stop.dataset.state = state;
  stop.querySelector("small").textContent = words || "\u00a0";
}

function say(words, best) {
  const summary = byId("summary");
  summary.textContent = words;
  summary.dataset.best = best ?? "none";
  if (best === undefined) delete summary.dataset.best;
}

function showResults(stops, { best, summary, findings, observed, text }) {
  say(summary, best);
  const { open, websocket, stream, sse, poll, bodies } = observed;
  markExchange(stops.exchange, open);
  markLink(stops.websocket, websocket);
  markLink(stops.stream, stream);
  markLink(stops.sse, sse);
  markExchange(stops.poll, poll);
  if (bodies) {
    const refused = Object.values(bodies).filter(({ result }) => result !== "ok").length;
    mark(stops.bodies, refused ? "poor" : "good", refused ? `${refused} of 3 refused` : "all pass");
  } else mark(stops.bodies, "off", "not tried");
  byId("findings").replaceChildren(...findings.map(finding));
  byId("text").textContent = text;
  byId("report").hidden = false;
}

function markExchange(stop, seen) {
  if (!seen) mark(stop, "off", "not tried");
  else if (seen.result === "ok") mark(stop, "good", `${Math.round(seen.ms)} ms`);
  else mark(stop, "bad", { refused: "refused", foreign: "intercepted", failed: "failed", hung: "no answer" }[seen.result]);
}

function markLink(stop, seen) {
  if (!seen) mark(stop, "off", "not tried");
  else if (!seen.present) mark(stop, "off", "not in this browser");
  else if (seen.helloMs === undefined) mark(stop, "bad", seen.endedMs === undefined ? "nothing came" : "refused");
  else {
    const came = seen.echoes.filter(({ cameMs }) => cameMs !== undefined).length;
    const whole = came === seen.echoes.length && seen.endedMs === undefined;
    mark(stop, whole ? "good" : "poor", whole ? `${Math.round(seen.helloMs)} ms` : "comes late or is cut");
  }
}

function finding({ title, advice, weight, evidence }) {
  const item = element("li", "finding");
  item.dataset.weight = weight;
  const head = element("h2", "", title);
  head.append(element("span", "weight", WEIGHTS[weight]));
  const seen = element("ul", "seen");
  seen.append(...evidence.map((fact) => element("li", "", fact)));
  item.append(head, element("p", "", advice), seen);
  return item;
}
