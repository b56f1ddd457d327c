/**
 * The client that must not notice: one process that produces a small record and fetches it back, over and over, and prints what each
 * round took. Run by `main.ts`: arguments are address and topic; a line is a JSON array of `[time, ms]` pairs.
 */
import { FetchApi } from "#protocol/generated/fetch.ts";
import { ProduceApi } from "#protocol/generated/produce.ts";
import { Wire } from "../differential/wire.ts";
import { batchOf, fetchRequest, produceRequest } from "./frames.ts";

const PAUSE_MS = 2;
const REPORT_MS = 200;

const [address = "", topic = ""] = process.argv.slice(2);
using wire = await Wire.connect(address, "healthy");
const batch = batchOf(0, 1, 100);
let rounds: [number, number][] = [];
setInterval(() => {
  console.log(JSON.stringify(rounds));
  rounds = [];
}, REPORT_MS);

for (;;) {
  const started = performance.now();
  const produced = await wire.send(ProduceApi, 9, produceRequest(topic, batch));
  const [row] = produced.responses[0]?.partitionResponses ?? [];
  if (row === undefined || row.errorCode !== 0) throw new Error(`produce: ${row?.errorCode}`);
  const fetched = await wire.send(FetchApi, 12, fetchRequest(topic, row.baseOffset, 10_000));
  const [partition] = fetched.responses[0]?.partitions ?? [];
  if (partition?.errorCode !== 0) throw new Error(`fetch: ${partition?.errorCode}`);
  rounds.push([Date.now(), performance.now() - started]);
  await Bun.sleep(PAUSE_MS);
}
