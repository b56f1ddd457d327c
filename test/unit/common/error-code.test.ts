import { expect, test } from "bun:test";
import { ErrorCode, errorInfo } from "#common/error-code.ts";

test("every code is described under its own name", () => {
  for (const [name, code] of Object.entries(ErrorCode)) {
    const info = errorInfo(code);
    expect(info.name).toBe(name);
    expect(info.description.length).toBeGreaterThan(5);
  }
});

test("a few codes as the protocol has them", () => {
  expect([
    ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.NONE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ]).toEqual([-1, 0, 6]);
  expect(errorInfo(ErrorCode.NOT_LEADER_OR_FOLLOWER).isRetriable).toBe(true);
  expect(errorInfo(ErrorCode.MESSAGE_TOO_LARGE).isRetriable).toBe(false);
});

test("a code nobody knows answers as an unknown server error", () => {
  expect(errorInfo(32_000).name).toBe("UNKNOWN_SERVER_ERROR");
  expect(errorInfo(-7).name).toBe("UNKNOWN_SERVER_ERROR");
});
