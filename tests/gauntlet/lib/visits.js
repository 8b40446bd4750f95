/** How soon the first message is there: one visit tells little on a busy machine, so the page comes back. */
import { until } from "./parts.js";

/** Visits that are counted, with the first one. */
export const VISITS = 5;
/** ms that a visit waits for its first message. */
const VISIT_MS = 20_000;

/** The middle one; null where none is a number. */
export function median(numbers) {
  const sorted = numbers.filter((n) => typeof n === "number").sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

/** Loads the page anew and connects: ms of a trivial request, and until the first message. */
async function visit(page, isCold) {
  if (isCold) await page.evaluate(() => gauntlet.forget());
  await page.reload();
  const pageMs = await page.evaluate(() => gauntlet.roundTrip());
  await page.evaluate(() => gauntlet.connect());
  const seen = () => page.evaluate(() => gauntlet.seen());
  await until(VISIT_MS, async () => (await seen()).firstMs !== null);
  const { firstMs } = await seen();
  await page.evaluate(() => gauntlet.close());
  return { pageMs, firstMs };
}

/** The medians over a first visit and others that know nothing of it. */
export async function often(page, first) {
  const visits = [first];
  while (visits.length < VISITS) visits.push(await visit(page, true));
  return {
    firstMs: median(visits.map(({ firstMs }) => firstMs)),
    pageMs: median(visits.map(({ pageMs }) => pageMs)),
    visits,
  };
}

/** The client that knows nothing, the one that knows the network, and a plain WebSocket, in turn. */
export async function compared(page) {
  const all = { cold: [], warm: [], raw: [] };
  for (let turn = 0; turn < VISITS; turn += 1) {
    all.cold.push((await visit(page, true)).firstMs);
    await visit(page, false);
    all.warm.push((await visit(page, false)).firstMs);
    await page.reload();
    await page.evaluate(() => gauntlet.roundTrip());
    all.raw.push(await page.evaluate(() => gauntlet.raw()));
  }
  return Object.fromEntries(Object.entries(all).map(([name, ms]) => [name, median(ms)]));
}
