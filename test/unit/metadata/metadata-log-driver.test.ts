import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { FileMetadataLog, METADATA_LOG_DIRECTORY } from "#metadata/metadata-log-driver.ts";
import { MetadataLoader } from "#metadata/metadata-loader.ts";
import { smallDisk } from "../../disk-full/small-disk.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";

let directory: string;
let opened: FileMetadataLog[] = [];

/** A log over the test's directory, closed when the test is over. */
function newLog(): FileMetadataLog {
  const log = new FileMetadataLog({ directory, nodeId: 1, clock });
  opened.push(log);
  return log;
}

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/metadata-log-`);
});
afterEach(async () => {
  for (const log of opened) await log.close();
  opened = [];
  rmSync(directory, { recursive: true, force: true });
});

const FIRST_SEGMENT = "00000000000000000000.log";
const path = (name: string): string => `${directory}/${METADATA_LOG_DIRECTORY}/${name}`;
const names = (): string[] => readdirSync(`${directory}/${METADATA_LOG_DIRECTORY}`).sort();
const clock = { nowMs: (): number => 1_700_000_000_000, monotonicMs: (): number => 0 };
const feature = (name: string, featureLevel: number): MetadataRecord => ({
  kind: "FeatureLevelRecord",
  record: { name, featureLevel },
});

interface Opened {
  readonly log: FileMetadataLog;
  readonly loaded: { names: string[]; offset: number }[];
}

async function openLog(): Promise<Opened> {
  const log = newLog();
  const loaded: Opened["loaded"] = [];
  await log.load((records, { offset }) => {
    if (records.length > 0) {
      loaded.push({
        names: records.map((entry) =>
          entry.kind === "FeatureLevelRecord" ? entry.record.name : "",
        ),
        offset,
      });
    }
  });
  return { log, loaded };
}

async function write(...batches: string[][]): Promise<void> {
  const { log } = await openLog();
  for (const batch of batches) await log.append(batch.map((name) => feature(name, 1)));
  await log.close();
}

describe("FileMetadataLog", () => {
  test("a full disk refuses a batch, and the next one finds a log without a trace of it", async () => {
    const disk = await smallDisk(2);
    if (typeof disk === "string") {
      console.log(`skipped: ${disk}`);
      return;
    }
    const poisoned: unknown[] = [];
    const options = { directory: disk.path, nodeId: 1, clock, onPoisoned: poisoned.push };
    try {
      const log = new FileMetadataLog(options);
      await log.load(() => {});
      await log.append([feature("a", 1)]);
      disk.fill(0);
      // Larger than what is left of the last block.
      const large = Array.from({ length: 2_000 }, (_, at) => feature(`large-${at}`, 1));
      for (let attempt = 0; attempt < 2; attempt++) {
        const failure: unknown = await log.append(large).catch((error: unknown) => error);
        expect(failure).toMatchObject({ name: "MetadataLogError", code: "DISK_FULL" });
      }
      disk.release();
      expect(await log.append([feature("b", 1)])).toEqual({ offset: 2, epoch: 1 });
      await log.close();
      const loaded: string[] = [];
      const again = new FileMetadataLog(options);
      await again.load((records) => {
        for (const entry of records)
          if (entry.kind === "FeatureLevelRecord") loaded.push(entry.record.name);
      });
      await again.close();
      expect({ loaded, poisoned }).toEqual({ loaded: ["a", "b"], poisoned: [] });
    } finally {
      await disk.remove();
    }
  });

  test("gives back what was appended, batch by batch", async () => {
    const { log } = await openLog();
    // Offset 0 is the control batch with which this leader begins its epoch.
    expect(await log.append([feature("a", 1), feature("b", 1)])).toEqual({ offset: 2, epoch: 1 });
    expect(await log.append([feature("c", 1)])).toEqual({ offset: 3, epoch: 1 });
    await log.close();
    const again = await openLog();
    expect(again.loaded).toEqual([
      { names: ["a", "b"], offset: 2 },
      { names: ["c"], offset: 3 },
    ]);
    expect(await again.log.append([feature("d", 1)])).toEqual({ offset: 5, epoch: 2 });
    await again.log.close();
    expect(readFileSync(path("leader-epoch-checkpoint"), "utf8")).toBe("0\n2\n1 0\n2 4\n");
    expect(JSON.parse(readFileSync(path("quorum-state"), "utf8"))).toMatchObject({
      leaderId: 1,
      leaderEpoch: 2,
    });
    expect(readFileSync(path("partition.metadata"), "utf8")).toBe(
      "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ",
    );
  });

  test("a start without changes writes no records", async () => {
    await write(["a"]);
    const before = readFileSync(path(FIRST_SEGMENT));
    await (await openLog()).log.close();
    expect(readFileSync(path(FIRST_SEGMENT)).equals(before)).toBe(true);
  });

  test("cuts off a batch that a crash left incomplete, at every length", async () => {
    await write(["a"], ["b"]);
    const whole = readFileSync(path(FIRST_SEGMENT));
    await write(["c"]);
    const longer = readFileSync(path(FIRST_SEGMENT));
    for (let length = whole.length; length < longer.length; length += 7) {
      writeFileSync(path(FIRST_SEGMENT), longer);
      truncateSync(path(FIRST_SEGMENT), length);
      const { log, loaded } = await openLog();
      expect(loaded.map((batch) => batch.names)).toEqual([["a"], ["b"]]);
      await log.append([feature("d", 1)]);
      await log.close();
      expect((await openLog()).loaded.map((batch) => batch.names)).toEqual([["a"], ["b"], ["d"]]);
      writeFileSync(path(FIRST_SEGMENT), whole);
    }
  });

  test("takes zeros behind the last batch for a torn tail", async () => {
    await write(["a"]);
    appendFileSync(path(FIRST_SEGMENT), new Uint8Array(500));
    expect((await openLog()).loaded).toHaveLength(1);
  });

  test("refuses to start on damage before the end, and leaves the file alone", async () => {
    await write(["a"], ["b"], ["c"]);
    const bytes = readFileSync(path(FIRST_SEGMENT));
    const middle = bytes.indexOf("b");
    bytes[middle] = "x".charCodeAt(0);
    writeFileSync(path(FIRST_SEGMENT), bytes);
    await expect(openLog()).rejects.toMatchObject({ code: "LOG_CORRUPT" });
    expect(readFileSync(path(FIRST_SEGMENT)).equals(bytes)).toBe(true);
  });

  test("no flipped bit loses a batch: the start is refused, or everything is there", async () => {
    await write(["a"], ["b"]);
    await write(["c"]);
    const whole = readFileSync(path(FIRST_SEGMENT));
    let refused = 0;
    for (let at = 0; at < whole.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        writeFileSync(path(FIRST_SEGMENT), bytes);
        const log = new FileMetadataLog({ directory, nodeId: 1, clock });
        const loaded: string[] = [];
        let failure: Error | null = null;
        const onBatch = (records: readonly MetadataRecord[]): void => {
          for (const entry of records)
            if (entry.kind === "FeatureLevelRecord") loaded.push(entry.record.name);
        };
        await log.load(onBatch).catch((error: Error) => (failure = error));
        await log.close();
        if (failure === null) {
          expect({ at, bit, loaded }).toEqual({ at, bit, loaded: ["a", "b", "c"] });
        } else {
          refused += 1;
          expect(failure).toMatchObject({ code: "LOG_CORRUPT" });
          expect((failure as Error).message).toContain(`${path(FIRST_SEGMENT)} at byte `);
          expect(readFileSync(path(FIRST_SEGMENT)).equals(bytes)).toBe(true);
        }
      }
    }
    // Only the epoch of the last batches can grow unseen.
    expect(refused).toBeGreaterThan((whole.length - 12) * 8);
  });

  test("a snapshot replaces the log before it", async () => {
    const { log } = await openLog();
    const last = await log.append([feature("a", 1), feature("b", 1)]);
    expect(log.bytesSinceSnapshot).toBeGreaterThan(0);
    await log.writeSnapshot([feature("a", 1), feature("b", 1)], last);
    expect(log.bytesSinceSnapshot).toBe(0);
    expect(names().filter((name) => name.startsWith("0"))).toEqual([
      "00000000000000000003-0000000001.checkpoint",
      "00000000000000000003.log",
    ]);
    await log.append([feature("c", 1)]);
    await log.close();
    expect((await openLog()).loaded).toEqual([
      { names: ["a", "b"], offset: 2 },
      { names: ["c"], offset: 3 },
    ]);
  });

  test("an unfinished snapshot is forgotten, a damaged one stops the start", async () => {
    const { log } = await openLog();
    const last = await log.append([feature("a", 1)]);
    await log.writeSnapshot([feature("a", 1)], last);
    await log.close();
    writeFileSync(path("00000000000000000009-0000000001.checkpoint.part"), "half");
    expect((await openLog()).loaded).toHaveLength(1);
    expect(names().some((name) => name.endsWith(".part"))).toBe(false);
    truncateSync(path("00000000000000000002-0000000001.checkpoint"), 100);
    await expect(openLog()).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });

  test("is poisoned by a failed write", async () => {
    const { log } = await openLog();
    await log.close();
    await expect(log.append([feature("a", 1)])).rejects.toMatchObject({ code: "LOG_POISONED" });
    await expect(log.append([feature("a", 1)])).rejects.toMatchObject({ code: "LOG_POISONED" });
    // The next start is told to believe the disk only.
    expect(readdirSync(directory)).toContain(".sluice-sync-failed");
  });
});

describe("MetadataLoader on files", () => {
  test("snapshots by itself, so that the log stays bounded", async () => {
    const log = newLog();
    const failures: unknown[] = [];
    const loader = new MetadataLoader({
      log,
      maxBytesBetweenSnapshots: 500,
      onSnapshotFailure: (error) => failures.push(error),
    });
    await loader.load();
    for (let level = 1; level <= 50; level++)
      await loader.commit([feature("metadata.version", level)]);
    const { image } = loader;
    await log.close();
    expect(failures).toEqual([]);
    const logs = names().filter((name) => /^\d{20}/.test(name));
    expect(logs).toHaveLength(2);
    const reopened = new MetadataLoader({
      log: newLog(),
      maxBytesBetweenSnapshots: 500,
      onSnapshotFailure: (error) => failures.push(error),
    });
    await reopened.load();
    expect(reopened.image).toEqual(image);
  });

  test("snapshotIfGrown writes one after a change and none without", async () => {
    const log = newLog();
    const failures: unknown[] = [];
    const loader = new MetadataLoader({
      log,
      maxBytesBetweenSnapshots: 1e9,
      onSnapshotFailure: (error) => failures.push(error),
    });
    await loader.load();
    const snapshots = (): string[] => names().filter((name) => name.endsWith(".checkpoint"));
    const before = snapshots();
    await loader.commit([feature("metadata.version", 7)]);
    await loader.snapshotIfGrown();
    const after = snapshots();
    await loader.snapshotIfGrown();
    expect([failures, after.length > 0, after.join() !== before.join(), snapshots()]).toEqual([
      [],
      true,
      true,
      after,
    ]);
    await log.close();
  });

  test("records between BeginTransaction and EndTransaction count only together", async () => {
    const { log } = await openLog();
    const begin: MetadataRecord = { kind: "BeginTransactionRecord", record: { name: "x" } };
    await log.append([feature("a", 1), begin, feature("b", 1)]);
    await log.append([
      feature("c", 1),
      { kind: "EndTransactionRecord", record: {} },
      begin,
      feature("d", 1),
    ]);
    await log.append([
      { kind: "AbortTransactionRecord", record: { reason: null } },
      begin,
      feature("e", 1),
    ]);
    await log.close();
    const reload = async (): Promise<{ loader: MetadataLoader; log: FileMetadataLog }> => {
      const file = newLog();
      const loader = new MetadataLoader({
        log: file,
        maxBytesBetweenSnapshots: 1e9,
        onSnapshotFailure: () => undefined,
      });
      await loader.load();
      return { loader, log: file };
    };
    const first = await reload();
    expect([...first.loader.image.features.keys()]).toEqual(["a", "b", "c"]);
    await first.loader.commit([feature("f", 1)]);
    await first.log.close();
    const second = await reload();
    expect([...second.loader.image.features.keys()]).toEqual(["a", "b", "c", "f"]);
    await second.log.close();
  });
});
