/** Which log is written: flags, keys, defaults. */
import { expect, test } from "bun:test";
import { logChoiceOf, logOptions, outputLogger } from "../../../src/cli/log-output.ts";

test("the first sensible choice wins, part by part", () => {
  const keys = new Map([
    ["sluice.log.format", "json"],
    ["sluice.log.level", "debug"],
  ]);
  const choice = logChoiceOf((key) => keys.get(key));
  expect(logOptions({}, choice)).toEqual({ format: "json", level: "debug" });
  expect(logOptions({ level: "error" }, choice)).toEqual({ format: "json", level: "error" });
  expect(logOptions({ format: "xml", level: "loud" })).toEqual({ format: "text", level: "info" });
});

test("lines of the level and above are written, JSON never coloured", () => {
  const written: string[] = [];
  const sink = { hasColor: true, write: (text: string) => void written.push(text) };
  const logger = outputLogger({ format: "json", level: "warn" }, sink);
  logger.info("no");
  logger.warn("yes", { a: 1 });
  expect(written.length).toBe(1);
  expect(JSON.parse(written[0] ?? "")).toMatchObject({ level: "warn", message: "yes", a: 1 });
});
