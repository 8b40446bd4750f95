/** What was lost, repeated and out of order, of what was published both ways. */

/** Transports, best first. */
const RANK = ["websocket", "stream", "sse", "poll"];

const clean = (numbers) => {
  const distinct = new Set(numbers);
  return {
    count: distinct.size,
    repeated: numbers.length - distinct.size,
    disordered: numbers.filter((n, at) => at > 0 && n < numbers[at - 1]).length,
  };
};

export function judge(seen, stored, published) {
  const down = clean(seen.got.down);
  const up = clean(stored);
  const echo = clean(seen.got.up);
  const { notes, state, transport, firstMs, refused } = seen;
  const states = notes.filter(({ kind, transport: on }) => kind === "state" && on);
  const rank = ({ transport: on }) => RANK.indexOf(on);
  const best = states.reduce((one, next) => (rank(next) < rank(one) ? next : one), states[0]);
  return {
    lost: published * 3 - down.count - up.count - echo.count,
    repeated: down.repeated + up.repeated + echo.repeated,
    disordered: down.disordered + up.disordered + echo.disordered,
    bestMs: best?.at ?? null,
    best: best?.transport ?? null,
    ...{ notes, state, transport, firstMs, refused },
  };
}
