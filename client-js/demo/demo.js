// The page: two ends, the line between them, and a score board that needs no SDK.

import { Board } from "./board.js";
import { copies } from "./copy.js";
import { End } from "./end.js";
import { KickOff, curlCommand } from "./kickoff.js";
import { Line } from "./line.js";

const SDK = "/realtime/client.mjs";

const byId = (id) => document.getElementById(id);

startBoard();
await startEnds();

function startBoard() {
  new Board({ list: byId("matches"), empty: byId("no-match"), state: byId("feed-state"), news: byId("goal-news") }).open();
  const command = byId("curl");
  command.textContent = curlCommand(location.origin);
  copies(byId("copy"), command);
  const kickOff = new KickOff({ button: byId("kickoff"), state: byId("kickoff-state") });
  byId("kickoff").addEventListener("click", () => kickOff.toggle());
}

async function startEnds() {
  let connect;
  try {
    ({ connect } = await import(SDK));
  } catch (error) {
    const notice = byId("notice");
    notice.hidden = false;
    notice.textContent = `The client library did not load from ${SDK}: ${error.message}`;
    return;
  }
  const line = new Line(byId("line"));
  const left = new End({ side: "left", title: "Left end", placeholder: "Say something on the left", connect, line });
  const right = new End({ side: "right", title: "Right end", placeholder: "Answer from the right", connect, line });
  left.other = right;
  right.other = left;
  byId("ends").append(left.pane.root, right.pane.root);
  left.start();
  right.start();
}
