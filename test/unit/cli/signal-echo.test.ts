/** A Ctrl-C that arrives twice is one. */
import { expect, test } from "bun:test";
import { SignalEcho } from "#cli/signal-echo.ts";

test("the same signal within a moment is an echo, another one or a later one is not", () => {
  const echo = new SignalEcho();
  const isEcho = (signal: string, nowMs: number): boolean => echo.isEcho(signal, nowMs);
  expect([isEcho("SIGINT", 1000), isEcho("SIGINT", 1002), isEcho("SIGINT", 1199)]).toEqual([
    false,
    true,
    true,
  ]);
  expect([isEcho("SIGINT", 1200), isEcho("SIGTERM", 1201), isEcho("SIGTERM", 1202)]).toEqual([
    false,
    false,
    true,
  ]);
});
