/** The wire: parsers, bodies, positions, and frames that are not what they should be. */
import { expect, test } from "vitest";
import { encodeBody } from "../src/protocol/body.ts";
import { parseFrame } from "../src/protocol/frames.ts";
import { lineReader, PENDING_CHARS_MAX } from "../src/protocol/lines.ts";
import { parsePosition } from "../src/protocol/position.ts";
import { parseAnswer } from "../src/transports/exchange.ts";
import { cutAnywhere, Random } from "./fake/random.ts";

test("any chunking of lines parses alike", () => {
  const frames = ['{"a":1}', '{"b":"é\\n"}', "{}", `{"c":"${"x".repeat(50)}"}`];
  const text = `${frames.join("\n")}\n`;
  for (let seed = 1; seed <= 300; seed++) {
    const read = lineReader();
    expect(cutAnywhere(text, new Random(seed)).flatMap(read)).toEqual(frames);
  }
});

test("an unfinished line is not a frame", () => {
  const read = lineReader();
  expect(read('{"a":1}')).toEqual([]);
  expect(read("\n{")).toEqual(['{"a":1}']);
});

test("any chunking of an event stream gives the same frames, and nothing else in it is one", () => {
  // WHATWG HTML, "Parsing an event stream": comments, other fields, empty lines, LF or CR LF.
  for (const end of ["\n", "\r\n"]) {
    const lines = [": hello", 'data: {"t":"a"}', "", "id: 7", 'data:{"t":"b"}', "", "event: x", ""];
    const text = [...lines, "data", "", "data: {}", "", ""].join(end);
    for (let seed = 1; seed <= 300; seed++) {
      const read = lineReader();
      const texts = cutAnywhere(text, new Random(seed)).flatMap(read);
      const frames = texts.map(parseFrame).filter((frame) => frame !== undefined);
      expect(frames).toEqual([{ t: "a" }, { t: "b" }, {}]);
    }
  }
});

test("a line that does not end is refused at the bound", () => {
  const read = lineReader();
  const chunk = "x".repeat(PENDING_CHARS_MAX / 2);
  read(`data: ${chunk}`);
  expect(() => read(`${chunk}xxxxxxx`)).toThrow(RangeError);
});

test("a body is base64url of the JSON without padding", () => {
  const frames = [{ l: "echo", id: "é<script>?>~" }] as const;
  const body = encodeBody(frames);
  expect(body).toMatch(/^d=[\w-]+$/);
  expect(Buffer.from(body.slice(2), "base64url").toString()).toBe(JSON.stringify(frames));
  const history = { t: "history", ch: "x".repeat(100_000), seq: 1 } as const;
  const bytes = JSON.stringify([history]).length;
  expect(encodeBody([history]).length).toBe(2 + Math.ceil((bytes * 4) / 3));
});

test.each([
  ["e.7.00000000000000ff", { epoch: "e", offset: 7 }],
  ["a-b_C.0.0000000000000000", { epoch: "a-b_C", offset: 0 }],
  ["e.9007199254740991.00000000000000ff", { epoch: "e", offset: 2 ** 53 - 1 }],
  ["e.9007199254740993.00000000000000ff", undefined],
  ["e.07.00000000000000ff", undefined],
  ["e.7.00000000000000FF", undefined],
  ["e.-1.00000000000000ff", undefined],
  [".1.00000000000000ff", undefined],
  ["e.1.00000000000000ff\n", undefined],
  ["0", undefined],
])("reads the position %j", (text, position) => {
  expect(parsePosition(text)).toEqual(position);
});

test("frames that are not sound take a number and say nothing, or are not read", () => {
  // spec: M1, M2
  for (const text of [
    "{}",
    '{"t":5}',
    '{"t":"event","ch":1,"pos":"e.1.0","id":"x"}',
    '{"t":"ok","re":-1}',
    '{"t":"members","ch":"a","v":"1"}',
  ]) {
    expect(parseFrame(text), text).toEqual({});
  }
  for (const text of ["", "[", "[]", "1", "null", '"x"', '{"l":"ping","n":"x"}']) {
    expect(parseFrame(text), text).toBeUndefined();
  }
  expect(parseFrame('{"t":"unheard","x":1}')).toEqual({ t: "unheard", x: 1 });
});

test("a member named __proto__ changes no prototype", () => {
  const frame = parseFrame(
    '{"t":"ok","re":1,"__proto__":{"polluted":true},"users":{"__proto__":{"state":"x"}}}',
  );
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(Object.getPrototypeOf(frame)).toBe(Object.prototype);
});

test("an answer that is not a gateway's is none", () => {
  for (const text of ["", "<html>", "[]", "0", '"text"', "[1,2]"])
    expect(parseAnswer(text), text).toEqual([]);
  for (const text of ["{}", '{"login":"https://portal.test"}'])
    expect(parseAnswer(text), text).toEqual([{}]);
  expect(parseAnswer('{"l":"error","code":"x","message":"y"}')).toHaveLength(1);
});
