/**
 * The native log through the addon, as a request handler calls it: checksums, an append of one small batch and of 128 KiB,
 * the plan of a fetch. It works on a directory of its own. Without a built addon the suite is left out and says so.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import type { MicroSuite } from "./harness.ts";

/** The part of the addon that is used here. */
interface Addon {
  openStore(optionsJson: string): Promise<string>;
  createPartition(
    storeId: number,
    topic: string,
    partition: number,
    topicId: string,
    directory: number,
    configJson: string,
  ): number;
  setLeader(handle: number, leaderEpoch: number): void;
  closeStore(storeId: number): Promise<void>;
  append(
    handle: number,
    records: Uint8Array,
    leaderEpoch: number,
    acks: number,
    origin: number,
    nowMs: number,
    out: Float64Array,
  ): number;
  fetch(
    requests: Float64Array,
    count: number,
    maxBytes: number,
    minOneMessage: boolean,
    isolation: number,
    out: Float64Array,
  ): number;
  planDrop(plan: number): void;
  partitionState(handle: number, out: Float64Array): number;
  crc32c(bytes: Uint8Array): number;
}

const addonPath = join(import.meta.dir, "../../native/binding.js");
const noEpoch = -1;

const logConfig = {
  segmentBytes: 1 << 30,
  segmentMs: 604_800_000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10_485_760,
  indexIntervalBytes: 4096,
  retentionMs: 604_800_000,
  retentionBytes: -1,
  maxMessageBytes: 1_048_588,
  messageTimestampType: "CreateTime",
  messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  messageTimestampAfterMaxMs: 3_600_000,
  compressionType: "producer",
  compressionGzipLevel: -1,
  compressionLz4Level: 9,
  compressionZstdLevel: 3,
  flushMessages: Number.MAX_SAFE_INTEGER,
  flushMs: Number.MAX_SAFE_INTEGER,
  fileDeleteDelayMs: 60_000,
  preallocate: false,
  cleanupPolicy: ["delete"],
  acksAllFsync: false,
};

const batchOf = (records: number, valueBytes: number, timestamp: number): Uint8Array =>
  encodeRecordBatch({
    records: Array.from({ length: records }, () => ({
      key: null,
      value: new Uint8Array(valueBytes).fill(97),
    })),
    timestamp,
  });

/** Appends and fetches through the addon. */
export async function nativeSuite(): Promise<MicroSuite> {
  if (!existsSync(addonPath))
    return { name: "native", skipped: "the addon is not built (bun run build)", tasks: [] };
  const addon: Addon = await import(addonPath);
  const directory = mkdtempSync(join(tmpdir(), "bench-native-"));
  const options = {
    dirs: [directory],
    clusterId: "MkU3OEVBNTcwNTJENDM2Qk",
    nodeId: 1,
    defaults: logConfig,
    recoveryThreads: 1,
    maxOpenFiles: 100,
    verifyOnRead: false,
  };
  const opened: { storeId: number } = JSON.parse(await addon.openStore(JSON.stringify(options)));
  const { storeId } = opened;
  const topicId = "AAAAAAAAQACAAAAAAAAAAA";
  const handle = addon.createPartition(storeId, "bench", 0, topicId, -1, JSON.stringify(logConfig));
  addon.setLeader(handle, 0);
  const nowMs = Date.now();
  const small = batchOf(1, 100, nowMs);
  const large = batchOf(1200, 100, nowMs);
  const out = new Float64Array(16);
  const append = (batch: Uint8Array): number => {
    batch.fill(0, 0, 8); // the log put the base offset there; a client's batch has none
    const error = addon.append(handle, batch, noEpoch, 1, 0, nowMs, out);
    if (error !== 0) throw new Error(`append answered ${error}`);
    return out[1] ?? 0;
  };
  append(small);
  const request = Float64Array.of(handle, 0, 1 << 20, noEpoch, noEpoch, noEpoch);
  const answer = new Float64Array(10);
  const kilobyte = new Uint8Array(1024).fill(7);
  return {
    name: "native",
    tasks: [
      { name: "crc32c of 1 KiB", repeats: 20, run: () => addon.crc32c(kilobyte) | 0 },
      { name: "partition state", repeats: 20, run: () => addon.partitionState(handle, out) },
      { name: "append one record of 100 bytes", samples: 20_000, run: () => append(small) },
      { name: "append 128 KiB of 1,200 records", samples: 1500, run: () => append(large) },
      {
        name: "plan a fetch of 1 MiB and drop it",
        repeats: 5,
        run: () => {
          addon.planDrop(addon.fetch(request, 1, 1 << 20, true, 0, answer));
          return answer[4] ?? 0;
        },
      },
    ],
    close: async () => {
      await addon.closeStore(storeId);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
