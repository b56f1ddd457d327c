/**
 * What clients see of a cluster whose brokers come and go. The transcripts in `stories` were recorded from three nodes of real Kafka
 * (`test/differential/controller-stories.ts`); here the controller tells them, over brokers that exist only as heartbeats.
 */
import { join } from "node:path";
import type { ApiMessages } from "#protocol/api.ts";
import { erased } from "#server/handler.ts";
import type { AnyApiHandler } from "#server/handler.ts";
import { createAlterPartitionReassignmentsHandler } from "#server/handlers/alter-partition-reassignments.ts";
import { createCreatePartitionsHandler } from "#server/handlers/create-partitions.ts";
import { createCreateTopicsHandler } from "#server/handlers/create-topics.ts";
import { createDescribeClusterHandler } from "#server/handlers/describe-cluster.ts";
import { createDescribeTopicPartitionsHandler } from "#server/handlers/describe-topic-partitions.ts";
import { createElectLeadersHandler } from "#server/handlers/elect-leaders.ts";
import { createIncrementalAlterConfigsHandler } from "#server/handlers/incremental-alter-configs.ts";
import { createListPartitionReassignmentsHandler } from "#server/handlers/list-partition-reassignments.ts";
import { createUnregisterBrokerHandler } from "#server/handlers/unregister-broker.ts";
import { transcripts } from "../../support/transcripts.ts";
import { contextOf } from "./cluster-fixture.ts";
import { CLUSTER_ID, MemoryCluster } from "./memory-cluster.ts";
import { tell } from "./story.ts";
import type { StoryCluster } from "./story.ts";

/** The handlers a client of the cluster reaches, over its controller. */
function handlersOf({ controller }: MemoryCluster): AnyApiHandler[] {
  const image = (): typeof controller.image => controller.image;
  return [
    erased(createCreateTopicsHandler({ controller })),
    erased(createCreatePartitionsHandler({ controller })),
    erased(createIncrementalAlterConfigsHandler({ controller })),
    erased(createElectLeadersHandler({ controller })),
    erased(createAlterPartitionReassignmentsHandler({ controller })),
    erased(createListPartitionReassignmentsHandler({ image })),
    erased(createUnregisterBrokerHandler({ controller })),
    erased(createDescribeTopicPartitionsHandler({ image, partitionLimit: () => 2000 })),
    erased(createDescribeClusterHandler({ image, clusterId: CLUSTER_ID })),
  ];
}

class MemoryStory implements StoryCluster {
  readonly #cluster: MemoryCluster;
  readonly #handlers: ReadonlyMap<number, AnyApiHandler>;

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
    this.#handlers = new Map(handlersOf(cluster).map((handler) => [handler.api.key, handler]));
  }

  async send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res> {
    const handler = this.#handlers.get(api.key);
    if (handler === undefined) throw new Error(`${api.name} is not told of`);
    return (await handler.handle(request as never, contextOf(version))) as Res;
  }

  stop(id: number): Promise<void> {
    return this.#cluster.stop(id);
  }
  kill(id: number): Promise<void> {
    return this.#cluster.kill(id);
  }
  start(id: number): Promise<void> {
    return this.#cluster.boot(id);
  }
  settle(): Promise<void> {
    return this.#cluster.settle();
  }
}

transcripts(join(import.meta.dirname, "stories"), {
  start: async ({ racks = ",,", ...config }) => {
    const names = racks.split(",").map((rack) => (rack === "" ? null : rack));
    return new MemoryStory(await MemoryCluster.start({ racks: names, config }));
  },
  run: tell,
});
