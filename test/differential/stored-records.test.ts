/** What we write to `__consumer_offsets` beside what Kafka 4.4.0 wrote of the same lives. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startBroker } from "../support/start-broker.ts";
import { storedRecords } from "./stored-records.ts";

test("the records of groups and offsets are Kafka's, byte for byte", async () => {
  await using broker = await startBroker();
  const golden = readFileSync(join(import.meta.dirname, "stored-records.txt"), "utf8");
  expect(await storedRecords(broker.bootstrapServers, "abcdefgh")).toBe(golden);
}, 60_000);
