/** What a cell's result is worth, and how it is shown. */

/** ms that the first message may come later than the page's own round trip; by what the cell does. */
const LIMITS_MS = {
  refused: 150,
  "black-holed": 400,
  "opened, then dead": 500,
};
const STORED_MS = 1000;
const STORED = new Set([
  "stored until complete",
  "stored by size",
  "one late",
  "trickled",
  "HTTP/1.0",
  "compressed",
]);

/** ms above the page's own round trip; null where nothing is promised. */
export function limit({ class: kind, limitMs }) {
  return limitMs ?? LIMITS_MS[kind] ?? (STORED.has(kind) ? STORED_MS : null);
}

/** What is wrong with a result, as sentences; times are not judged. */
export function verdict(cell, result) {
  if (result.missing) return [`not installed: ${result.missing.join(" ")}`];
  if (result.error) return [`did not run: ${result.error.split("\n")[0]}`];
  const faults = [];
  if (cell.connects === false) {
    if (result.connected) faults.push("connected, which nobody can here");
    return faults;
  }
  if (!result.connected) return ["did not connect"];
  if (!cell.transports.includes(result.transport)) faults.push(`ended on ${result.transport}`);
  if (result.lost > 0) faults.push(`${result.lost} lost`);
  if (result.repeated > 0) faults.push(`${result.repeated} repeated`);
  if (result.disordered > 0) faults.push(`${result.disordered} out of order`);
  const { names } = cell.switch ?? {};
  if (names && !result.named?.includes(names)) faults.push(`named ${result.named ?? "nothing"}`);
  return faults;
}

export function header() {
  const names =
    "cell | class | transport | page ms | first message ms | limit | best transport ms | lost | repeated | verdict";
  return [`| ${names} |`, "|---|---|---|--:|--:|---|--:|--:|--:|---|"];
}

/** Whether the time was met: a word, or nothing where there is no limit. */
function met(cell, { firstMs, pageMs, compared, openedMs }) {
  if (openedMs) return `${firstMs - openedMs} after the way was opened`;
  if (compared) {
    const { cold, warm, raw } = compared;
    return `${cold} the first time, ${warm} then, ${raw} a plain WebSocket`;
  }
  const most = limit(cell);
  if (most === null || firstMs === null || firstMs === undefined) return "";
  const above = firstMs - (pageMs ?? 0);
  return `${above <= most ? "met" : "not met"}: ${above} of ${most} above the page's`;
}

/** What carried the session in the end, and what was better before. */
function carried({ transport, best }) {
  if (!transport) return "–";
  return best && best !== transport ? `${transport} (${best} before)` : transport;
}

export function row(cell, result, faults) {
  const cells = [
    cell.id,
    cell.class,
    carried(result),
    result.pageMs ?? "–",
    result.firstMs ?? "–",
    met(cell, result),
    result.bestMs ?? "–",
    result.lost ?? "–",
    result.repeated ?? "–",
    faults.length > 0 ? faults.join("; ") : "passed",
  ];
  return `| ${cells.join(" | ")} |`;
}
