/** Lines as text and JSON, what clients cannot do to them, thresholds, and the limiter. */
import { describe, expect, test } from "bun:test";
import { formatEvent } from "../../../src/common/log-format.ts";
import { LogLimiter } from "../../../src/common/log-limiter.ts";
import { createLogger, errorFields, type LogFields } from "../../../src/common/logger.ts";

const time = new Date(Date.UTC(2026, 10, 23, 1, 2, 3, 4));
const text = (message: string, fields: LogFields = {}, hasColor = false): string =>
  formatEvent("text", { time, level: "warn", message, fields }, hasColor);
const json = (message: string, fields: LogFields = {}): string =>
  formatEvent("json", { time, level: "warn", message, fields });

describe("text", () => {
  test("time, level, message, fields", () => {
    expect(
      text("a thing happened", {
        path: "/data",
        count: 3,
        big: 7n,
        isLast: false,
        none: null,
        gone: undefined,
      }),
    ).toBe(
      "2026-11-23T01:02:03.004Z WARN  a thing happened path=/data count=3 big=7 isLast=false none=null\n",
    );
  });
  test("quotes what is not one word", () => {
    expect(text("m", { a: "two words", b: "", c: 'say "x"', d: "k=v", e: "back\\slash" })).toBe(
      '2026-11-23T01:02:03.004Z WARN  m a="two words" b="" c="say \\"x\\"" d="k=v" e="back\\\\slash"\n',
    );
  });
  test("a client cannot write a line of its own, move the cursor or turn text around", () => {
    const line = text("m\nERROR forged", { clientId: "a\r\n\u001b[2Jb\u007f\u009b\u202e\u2028" });
    expect(line).toBe(
      '2026-11-23T01:02:03.004Z WARN  m\\u000aERROR forged clientId="a\\r\\n\\u001b[2Jb\\u007f\\u009b\\u202e\\u2028"\n',
    );
  });
  test("cuts long values", () => {
    expect(text("m", { clientId: "x".repeat(40_000) })).toBe(
      `2026-11-23T01:02:03.004Z WARN  m clientId="${"x".repeat(1024)}… (38976 more)"\n`,
    );
  });
  test("colours on request, a stack below", () => {
    expect(text("m", { a: 1, stack: "Error: x\n    at f" }, true)).toBe(
      "\u001b[2m2026-11-23T01:02:03.004Z\u001b[0m \u001b[33mWARN \u001b[0m m \u001b[36ma=\u001b[0m1\n    Error: x\n    at f\n",
    );
  });
});

describe("json", () => {
  test("one object a line, fields beside time, level and message", () => {
    const line = json("m", {
      level: "mine",
      count: 3,
      big: 7n,
      bad: Number.NaN,
      none: null,
      error: new Error("x"),
    });
    expect(line.endsWith("}\n")).toBe(true);
    expect(JSON.parse(line)).toEqual({
      time: "2026-11-23T01:02:03.004Z",
      level: "warn",
      message: "m",
      level_: "mine",
      count: 3,
      big: "7",
      bad: "NaN",
      none: null,
      error: "x",
    });
  });
  test("everything unseen is escaped and comes back", () => {
    const clientId = "a\r\n\u001b[2Jb\u007f\u009b\u202e\u2028";
    const line = json("m", { clientId });
    // oxlint-disable-next-line no-control-regex -- they are what this is about
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2028]/);
    expect((JSON.parse(line) as { clientId: string }).clientId).toBe(clientId);
  });
});

describe("a logger", () => {
  test("passes on from its threshold", () => {
    const taken: string[] = [];
    const logger = createLogger("warn", (level, message) => void taken.push(`${level} ${message}`));
    logger.trace("1");
    logger.debug("2");
    logger.info("3");
    logger.warn("4");
    logger.error("5");
    expect(taken).toEqual(["warn 4", "error 5"]);
  });
  test("an error as fields names its cause and has its stack", () => {
    const error = new Error("outer", { cause: Object.assign(new Error("inner"), { code: "EIO" }) });
    const fields = errorFields(error);
    expect(fields["error"]).toBe("outer: inner (EIO)");
    expect(fields["stack"]).toContain("Error: outer");
    expect(errorFields("text")).toEqual({ error: "text" });
  });
});

describe("the limiter", () => {
  const limited = (): { limiter: LogLimiter; lines: string[]; advance: (ms: number) => void } => {
    const lines: string[] = [];
    let nowMs = 0;
    const logger = createLogger("trace", (level, message, fields) => {
      const count = fields["index"] ?? fields["heldCount"];
      lines.push(`${level} ${message} ${String(count)}`);
    });
    return {
      limiter: new LogLimiter(
        logger,
        { nowMs: () => 0, monotonicMs: () => nowMs },
        { linesMax: 2, intervalMs: 1000 },
      ),
      lines,
      advance: (ms) => {
        nowMs += ms;
      },
    };
  };
  test("writes the first lines, counts the rest, tells the count with the next line", () => {
    const { limiter, lines, advance } = limited();
    let askedCount = 0;
    const write = (index: number): void =>
      limiter.write("warn", "kind", "bad client", () => {
        askedCount++;
        return { index };
      });
    for (let index = 0; index < 1000; index++) write(index);
    expect([lines, askedCount]).toEqual([["warn bad client 0", "warn bad client 1"], 2]);
    advance(1000);
    write(1000);
    expect(lines.slice(2)).toEqual([
      "warn 998 more like this: bad client 998",
      "warn bad client 1000",
    ]);
  });
  test("kinds do not hold each other back", () => {
    const { limiter, lines } = limited();
    for (let index = 0; index < 5; index++) {
      limiter.write("warn", "one", "one", () => ({ index }));
      limiter.write("info", "two", "two", () => ({ index }));
    }
    expect(lines).toEqual(["warn one 0", "info two 0", "warn one 1", "info two 1"]);
  });
  test("a count is told without a next line, once", () => {
    const { limiter, lines, advance } = limited();
    for (let index = 0; index < 5; index++) limiter.write("warn", "one", "one", () => ({ index }));
    limiter.flush();
    expect(lines.length).toBe(2);
    advance(1000);
    limiter.flush();
    limiter.flush(true);
    expect(lines.slice(2)).toEqual(["warn 3 more like this: one 3"]);
  });
  test("many kinds are held within a bound", () => {
    const { limiter, lines } = limited();
    for (let kind = 0; kind < 300; kind++) {
      for (let index = 0; index < 3; index++)
        limiter.write("warn", `kind ${kind}`, "x", () => ({ index }));
    }
    // At the bound everything held is told and forgotten.
    expect(lines.filter((line) => line.startsWith("warn 1 more")).length).toBe(256);
  });
});
