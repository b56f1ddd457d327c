/** What we answer about log directories beside what Kafka 4.4.0 answered. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";
import { logDirStory } from "./log-dirs.ts";

test("replicas move between log directories as they do in Kafka", async () => {
  await using directory = await temporaryDirectory();
  const dirs = [join(directory.path, "first"), join(directory.path, "second")] as const;
  await using broker = await startBroker({ config: { "log.dirs": dirs.join(",") } });
  const golden = readFileSync(join(import.meta.dirname, "log-dirs.txt"), "utf8");
  const { nodeId } = broker.broker;
  const story = await logDirStory({ address: broker.bootstrapServers, dirs, nodeId }, "abcdefgh");
  expect(story).toBe(golden);
}, 60_000);
