/** The diagnosis of a network, in a real browser. */
import { expect, test } from "vitest";
import type { Diagnosis } from "../../src/diagnose/index.ts";
import { Visitor } from "./kit/visitor.ts";

/** As text, so that nobody but the page resolves it. */
const MODULE = 'import("/realtime/diagnose.mjs")';

/** Looks at the visitor's network as a page would. */
function diagnose(visitor: Visitor): Promise<Diagnosis> {
  const run = 'then(({ diagnose }) => diagnose("/realtime", { holdMs: 1000 }))';
  return visitor.page.evaluate(`${MODULE}.${run}`);
}

const codes = ({ findings }: Diagnosis): string[] => findings.map(({ code }) => code);

test("a clean network is diagnosed as one", async () => {
  const visitor = await Visitor.open();
  const diagnosis = await diagnose(visitor);
  expect(diagnosis.best).toBe("websocket");
  expect(codes(diagnosis)).not.toContain("websocket_refused");
  expect(diagnosis.observed.bodies?.large.result).toBe("ok");
  expect(diagnosis.text).toContain(`Gateway:  ${visitor.shim.base}/realtime`);
});

// demand: 10
test.each([
  ["resets the handshake of a WebSocket", "reset", "websocket_refused"],
  ["never answers the handshake of a WebSocket", "hang", "websocket_hung"],
] as const)("a network that %s is named", async (_, fate, code) => {
  const visitor = await Visitor.open();
  visitor.shim.upgrades = fate;
  const diagnosis = await diagnose(visitor);
  expect(diagnosis.best).toBe("stream");
  expect(codes(diagnosis)[0]).toBe(code);
  expect(diagnosis.text).toContain("Allow");
});

test("a host that cannot be reached is named", async () => {
  const visitor = await Visitor.open();
  // The script is there before the network goes.
  await visitor.page.evaluate(`${MODULE}.then(() => undefined)`);
  visitor.shim.refuses = true;
  visitor.shim.cut();
  const diagnosis = await diagnose(visitor);
  expect(diagnosis.best).toBeNull();
  expect(codes(diagnosis)).toEqual(["unreachable"]);
});

test("the page says what it found and offers a text, on a desk and in a hand", async () => {
  const visitor = await Visitor.arrive({ viewport: { width: 1000, height: 800 } });
  visitor.shim.upgrades = "reset";
  const { page } = visitor;
  await page.goto("/diagnose");
  await page.getByRole("heading", { name: "The text to send" }).waitFor();
  expect(await page.locator(".finding").first().textContent()).toContain("WebSockets are refused");
  expect(await page.locator("#text").textContent()).toContain("websocket_refused");
  expect(await page.locator(".stop[data-state=good]").count()).toBeGreaterThan(3);
  for (const width of [1000, 400]) {
    await page.setViewportSize({ width, height: 800 });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - window.innerWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
  }
  expect(visitor.uncaught).toEqual([]);
});
