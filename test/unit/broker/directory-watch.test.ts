import { describe, expect, test } from "bun:test";
import { DirectoryWatch } from "#broker/directory-watch.ts";
import { createLogger } from "#common/logger.ts";
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { DirectoryHealth } from "#log/log.ts";

const HEALTHY: DirectoryHealth = {
  path: "/a",
  directoryId: "A",
  error: null,
  freeBytes: 1_000,
  reserveBytes: 100,
  isShort: false,
  refusedCount: 0,
};

interface Watched {
  readonly watch: DirectoryWatch;
  readonly lines: string[];
  readonly failures: string[];
  set(...health: DirectoryHealth[]): void;
}

function watched(...first: DirectoryHealth[]): Watched {
  let health = first;
  const lines: string[] = [];
  const failures: string[] = [];
  const watch = new DirectoryWatch({
    store: { health: () => health },
    logger: createLogger("trace", (level, message, { path }) => {
      lines.push(`${level} ${message.split(":")[0]} ${path}`);
    }),
    onAllFailed: ({ message }) => failures.push(message),
  });
  return {
    watch,
    lines,
    failures,
    set(...now): void {
      health = now;
      watch.look();
    },
  };
}

describe("the directory watch", () => {
  test("tells once of a full disk and of room again, and refuses new partitions meanwhile", () => {
    const { watch, lines, set } = watched(HEALTHY);
    expect(watch.creationRefusal()).toBeNull();
    set({ ...HEALTHY, freeBytes: 40, isShort: true });
    set({ ...HEALTHY, freeBytes: 30, isShort: true });
    expect(watch.creationRefusal()).toEqual({
      errorCode: ErrorCode.KAFKA_STORAGE_ERROR,
      errorMessage:
        "The disk is full: /a has 30 bytes left, which are kept for offsets and metadata. Try again when there is room.",
    });
    set(HEALTHY);
    expect(watch.creationRefusal()).toBeNull();
    expect(lines).toEqual(["error disk full /a", "warn disk has room again /a"]);
  });

  test("one directory with room is enough for new partitions", () => {
    const { watch, set } = watched(HEALTHY, { ...HEALTHY, path: "/b", directoryId: "B" });
    set({ ...HEALTHY, isShort: true }, { ...HEALTHY, path: "/b", directoryId: "B" });
    expect(watch.creationRefusal()).toBeNull();
  });

  test("takes a failed directory's partitions offline, and ends the broker with the last one", () => {
    const other = { ...HEALTHY, path: "/b", directoryId: "B" };
    const { watch, lines, failures, set } = watched(HEALTHY, other);
    const online = (): boolean[] => ["A", "B", "C", ZERO_UUID].map((id) => watch.isOnline(id));
    expect(online()).toEqual([true, true, true, true]);
    set({ ...HEALTHY, error: "fsync failed" }, other);
    expect(online()).toEqual([false, true, false, true]);
    expect(failures).toEqual([]);
    set({ ...HEALTHY, error: "fsync failed" }, { ...other, error: "gone" });
    set({ ...HEALTHY, error: "fsync failed" }, { ...other, error: "gone" });
    expect(failures).toEqual(["every log directory has failed (/a: fsync failed; /b: gone)"]);
    expect(lines).toEqual(["error log directory failed /a", "error log directory failed /b"]);
  });

  test("a directory that failed at the start is offline from the start", () => {
    const { watch } = watched(HEALTHY, { ...HEALTHY, path: "/b", directoryId: "", error: "EIO" });
    expect([watch.isOnline("A"), watch.isOnline("B")]).toEqual([true, false]);
  });
});
