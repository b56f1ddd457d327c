/**
 * The cluster that a test of a command talks to: a broker of ours, or, by hand, any that speaks Kafka's protocol, so that what our
 * command line says of real Kafka is tested with the same lines:
 *
 *     SLUICE_TEST_BOOTSTRAP=127.0.0.1:9092 bun test test/integration/command-line-group.test.ts
 *
 *     await using cluster = await clusterUnderTest();
 *     await sluice(["topic", "create", cluster.name("orders"), ...cluster.at]);
 */
import type { BrokerOptions } from "../../src/index.ts";
import { startBroker } from "./start-broker.ts";

/** Where it is, and names that nobody else uses there. */
export interface ClusterUnderTest extends AsyncDisposable {
  readonly bootstrapServers: string;
  /** The arguments that lead a command there. */
  readonly at: readonly string[];
  /** Whether it is a broker of this checkout. */
  readonly isOurs: boolean;
  /** A name for this run alone; the same for the same word. */
  name(word: string): string;
}

/** Starts a broker of ours, unless the environment names a cluster. */
export async function clusterUnderTest(options: BrokerOptions = {}): Promise<ClusterUnderTest> {
  const given = process.env["SLUICE_TEST_BOOTSTRAP"];
  const run = Math.random().toString(36).slice(2, 8);
  const broker = given === undefined ? await startBroker(options) : null;
  const bootstrapServers = given ?? broker?.bootstrapServers ?? "";
  return {
    bootstrapServers,
    at: ["--bootstrap", bootstrapServers],
    isOurs: broker !== null,
    name: (word) => `cli-${run}-${word}`,
    [Symbol.asyncDispose]: async () => {
      await broker?.[Symbol.asyncDispose]();
    },
  };
}
