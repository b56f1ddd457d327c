/**
 * How long a broker is away after `kill -9` with much in its log: from the launch to the first acknowledged write. The first restart finds no
 * recovery point worth the name and has to check everything; the second follows a run long enough to write one. By hand:
 *
 *   bun test/crash/restart.ts [--gib 1] [--partitions 6] [--kafka LIBS] [--port N] [--override key=value]… [--json]
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import { kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { freePort, temporaryDirectory } from "../support/process.ts";
import { createTopic } from "./load.ts";
import { processFigures } from "../support/process-figures.ts";

const TOPIC = "restart";
const BATCH_BYTES = 900_000;
const RECORD_BYTES = 1_000;

const { values } = parseArgs({
  options: {
    gib: { type: "string", default: "1" },
    partitions: { type: "string", default: "6" },
    kafka: { type: "string" },
    port: { type: "string" },
    override: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
});
const partitions = Number(values.partitions);
const batches = Math.ceil((Number(values.gib) * 2 ** 30) / BATCH_BYTES);
const say = (line: string): void => (values.json ? console.error(line) : console.log(line));
const directory = temporaryDirectory("restart");
const options = {
  directory: directory.path,
  port: values.port === undefined ? await freePort() : Number(values.port),
  overrides: Object.fromEntries(
    values.override.map((text) => text.split("=", 2) as [string, string]),
  ),
};
const broker = await (values.kafka === undefined
  ? sluiceBroker(options)
  : kafkaBroker(values.kafka, options));

async function produce(
  wire: Wire,
  index: number,
  records: Uint8Array,
  acks: number,
): Promise<void> {
  const partitionData = [makePartitionProduceData({ index, records })];
  const topicData = [makeTopicProduceData({ name: TOPIC, partitionData })];
  const answer = await wire.send(
    ProduceApi,
    8,
    makeProduceRequest({ acks, timeoutMs: 10_000, topicData }),
  );
  const code = answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
  if (code !== 0) throw new Error(`Produce: error ${code}`);
}

const value = Buffer.alloc(RECORD_BYTES, "·");
const batchOf = (count: number): Uint8Array =>
  encodeRecordBatch({
    timestamp: Date.now(),
    records: Array.from({ length: count }, () => ({ key: null, value })),
  });

/** One restart, in milliseconds: until the port is open, a first write is acknowledged, all partitions took one; CPU used by then. */
interface Restart {
  readonly port: number;
  readonly firstWrite: number;
  readonly allWritable: number;
  readonly cpu: number;
}

/** Milliseconds from the launch to the first acknowledged write of a partition. */
async function measureStart(): Promise<Restart> {
  const started = performance.now();
  broker.launch();
  const port = broker.start();
  const one = batchOf(1);
  let firstWrite = 0;
  for (let index = 0; index < partitions; index += 1) {
    for (;;) {
      try {
        using wire = await Wire.connect(broker.bootstrap);
        await produce(wire, index, one, -1);
        break;
      } catch {
        await Bun.sleep(5);
      }
      if (performance.now() - started > 300_000) throw new Error(broker.log());
    }
    if (index === 0) firstWrite = performance.now() - started;
  }
  const allWritable = performance.now() - started;
  return {
    port: await port,
    firstWrite,
    allWritable,
    cpu: processFigures(broker.pid ?? 0).cpuSeconds * 1000,
  };
}

const rows: (Restart & { readonly what: string })[] = [];
try {
  await broker.start();
  await createTopic(broker.bootstrap, TOPIC, partitions, { "segment.bytes": String(1 << 30) });
  const full = batchOf(Math.floor(BATCH_BYTES / RECORD_BYTES));
  const filling = performance.now();
  using wire = await Wire.connect(broker.bootstrap);
  for (let at = 0; at < batches; at += 1) await produce(wire, at % partitions, full, 1);
  say(
    `${broker.name}: ${values.gib} GiB in ${partitions} partitions written in ${((performance.now() - filling) / 1000).toFixed(1)} s`,
  );
  await broker.stop("SIGKILL");
  rmSync(join(broker.dataDirectory, "recovery-point-offset-checkpoint"), { force: true });
  rows.push({ what: "kill -9, everything to check", ...(await measureStart()) });
  await broker.stop("SIGKILL");
  rows.push({ what: "kill -9 again at once", ...(await measureStart()) });
  await broker.stop("SIGTERM");
  rows.push({ what: "clean stop", ...(await measureStart()) });
} finally {
  await broker.stop("SIGKILL");
  directory.remove();
}
if (values.json) console.log(JSON.stringify({ broker: broker.name, gib: values.gib, rows }));
else {
  console.log(
    "| restart after | port open ms | first write ms | all partitions writable ms | CPU ms |",
  );
  console.log("| --- | --- | --- | --- | --- |");
  for (const row of rows)
    console.log(
      `| ${row.what} | ${row.port.toFixed(0)} | ${row.firstWrite.toFixed(0)} | ${row.allWritable.toFixed(0)} | ${row.cpu} |`,
    );
}
