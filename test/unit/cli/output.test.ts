/** How things look on a terminal and in a pipe. */
import { describe, expect, test } from "bun:test";
import { decideColor } from "#cli/command-io.ts";
import {
  formatFailure,
  formatTable,
  jsonLine,
  printJson,
  printTable,
  progressLine,
  styleOf,
} from "#cli/output.ts";
import { formatBytes, formatCount, formatDuration, formatPlural } from "#cli/units.ts";
import { wrapText } from "#cli/wrap-text.ts";
import { fakeIo } from "../../support/fake-io.ts";

const columns = [{ heading: "TOPIC" }, { heading: "SIZE", align: "right" }] as const;

describe("a table", () => {
  test("is aligned by spaces, numbers to the right, no spaces at the end", () => {
    expect(
      formatTable(
        [...columns, { heading: "NOTE" }],
        [
          ["ä", "12", ""],
          ["longer", "3", "x"],
        ],
      ),
    ).toBe("TOPIC   SIZE  NOTE\nä         12\nlonger     3  x\n");
  });
  test("counts columns, not code units or colours", () => {
    const { red } = styleOf({ hasColor: true });
    expect(
      Bun.stripANSI(
        formatTable(columns, [
          ["日本", "1"],
          [red("abcd"), "2"],
        ]),
      ),
    ).toBe("TOPIC  SIZE\n日本      1\nabcd      2\n");
  });
  test("has bold headings on a terminal only", async () => {
    const terminal = fakeIo({ isTerminal: true });
    const pipe = fakeIo();
    await printTable(terminal.stdout, columns, [["a", "1"]]);
    await printTable(pipe.stdout, columns, [["a", "1"]]);
    expect([terminal.out, pipe.out]).toEqual([
      "\u001b[1mTOPIC\u001b[22m  \u001b[1mSIZE\u001b[22m\na         1\n",
      "TOPIC  SIZE\na         1\n",
    ]);
  });
});

test("colour is decided by option, NO_COLOR, FORCE_COLOR, terminal, in this order", () => {
  expect([
    decideColor([], {}, true),
    decideColor([], {}, false),
    decideColor([], { TERM: "dumb" }, true),
    decideColor([], { NO_COLOR: "1" }, true),
    decideColor([], { NO_COLOR: "" }, true),
    decideColor([], { FORCE_COLOR: "1" }, false),
    decideColor([], { FORCE_COLOR: "0" }, true),
    decideColor([], { FORCE_COLOR: "1", NO_COLOR: "1" }, true),
    decideColor(["--no-color"], { FORCE_COLOR: "1" }, true),
    decideColor(["--", "--no-color"], {}, true),
  ]).toEqual([true, false, false, false, true, true, false, false, false, true]);
});

test("progress is a line in place on a terminal, nothing in a pipe", () => {
  let nowMs = 0;
  const terminal = fakeIo({ isTerminal: true, width: 10 });
  const progress = progressLine(terminal.stderr, () => nowMs);
  progress.update(() => "one");
  progress.update(() => "too soon");
  nowMs = 1000;
  progress.update(() => "wider than it");
  progress.clear();
  progress.clear();
  const pipe = fakeIo();
  progressLine(pipe.stderr).update(() => "never");
  expect([terminal.err.replaceAll("\u001b", "^"), pipe.err]).toEqual([
    "\r^[2mone^[22m^[K\r^[2mwider tha^[22m^[K\r^[K",
    "",
  ]);
});

test("JSON: a document is indented, a stream is lines, large integers survive", async () => {
  const io = fakeIo();
  await printJson(io.stdout, { a: [1n, 2n ** 60n] });
  expect([io.out, jsonLine({ a: "b\n" })]).toEqual([
    '{\n  "a": [\n    1,\n    "1152921504606846976"\n  ]\n}\n',
    '{"a":"b\\n"}\n',
  ]);
});

test("a paragraph is wrapped between words", () => {
  expect(wrapText("one two three, a-word-that-is-long x", 9)).toBe(
    "one two\nthree,\na-word-that-is-long\nx",
  );
});

test("a failure is a sentence and what to do", () => {
  expect(formatFailure("it broke", ["mend it\nwell", "or not"])).toBe(
    "sluice: it broke\n        mend it\n        well\n        or not\n",
  );
});

test("quantities", () => {
  expect([0, 1023, 1024, 1536, 150 * 1024, 5 * 1024 ** 3].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "150 KiB",
    "5 GiB",
  ]);
  expect([formatCount(1234567), formatPlural(1, "record"), formatPlural(0, "record")]).toEqual([
    "1,234,567",
    "1 record",
    "0 records",
  ]);
  expect([0.25, 4, 12.4, 1234, 61_000].map(formatDuration)).toEqual([
    "0.3 ms",
    "4 ms",
    "12 ms",
    "1.2 s",
    "1 min 1 s",
  ]);
});
