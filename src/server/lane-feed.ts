/**
 * What connects the fast lane of an event loop with the rest of it: the lane is told which partitions are led here, whenever that
 * changes, and what it did is added to the counters that the handlers of this loop would have bumped.
 */
import { isInternalTopic } from "#metadata/cluster-image.ts";
import type { PartitionDirectory, TopicEntry, TopicTraffic } from "#replica/partition-directory.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { FastLane, LaneCounts } from "#transport/ports.ts";
import type { RequestStatistics } from "./request-statistics.ts";

/** What the feed works with. */
export interface LaneFeedParts {
  readonly transport: {
    readonly lane: FastLane | null;
    takeLaneCounts(): LaneCounts | null;
  };
  readonly directory: PartitionDirectory;
  readonly replicas: ReplicaManager;
  readonly requests: RequestStatistics;
  /** As the handler of Fetch has it. */
  readonly fetchMaxBytes: number;
}

/** Feeds the lane of one event loop from when it is made. */
export class LaneFeed {
  readonly #parts: LaneFeedParts;
  readonly #traffic: Map<number, TopicTraffic> = new Map();
  readonly #tokens: Map<TopicTraffic, number> = new Map();
  #nextToken = 1;

  constructor(parts: LaneFeedParts) {
    this.#parts = parts;
    const { transport, directory } = parts;
    const { lane } = transport;
    if (lane === null) return;
    lane.boundFetches(parts.fetchMaxBytes);
    for (const topic of directory.topics()) this.#put(lane, topic);
    directory.onTopic = (topic) => this.#put(lane, topic);
    directory.onTopicRemoved = ({ name, traffic }) => {
      this.settle();
      lane.removeTopic(name);
      this.#forget(traffic);
    };
  }

  /** Adds what the lane did since the last call to the counters of this loop. */
  settle(): void {
    const { transport, replicas, requests } = this.#parts;
    const counts = transport.takeLaneCounts();
    if (counts === null) return;
    for (const api of counts.apis) requests.addServed(api.apiKey, api);
    transport.lane?.takeTraffic((token, records, bytes, failed, fetched) => {
      for (const traffic of [this.#traffic.get(token), replicas.traffic]) {
        if (traffic === undefined) continue;
        traffic.producedRecords += records;
        traffic.producedBytes += bytes;
        traffic.failedProduces += failed;
        traffic.fetchedBytes += fetched;
      }
    });
  }

  #put(lane: FastLane, topic: TopicEntry): void {
    if (isInternalTopic(topic.name)) return;
    const partitions = new Float64Array(topic.partitions.length * 2);
    for (let index = 0; index < topic.partitions.length; index++) {
      const partition = topic.partitions[index];
      const isLedHere = partition !== undefined && partition.otherLeader === null;
      partitions[index * 2] = isLedHere ? partition.handle : -1;
      partitions[index * 2 + 1] = partition?.leaderEpoch ?? -1;
    }
    lane.putTopic(topic.name, topic.topicId, this.#tokenOf(topic.traffic), partitions);
  }

  /** Topics beyond the bound share their counters, and so a token. */
  #tokenOf(traffic: TopicTraffic): number {
    const known = this.#tokens.get(traffic);
    if (known !== undefined) return known;
    const token = this.#nextToken++;
    this.#tokens.set(traffic, token);
    this.#traffic.set(token, traffic);
    return token;
  }

  #forget(traffic: TopicTraffic): void {
    const token = this.#tokens.get(traffic);
    if (token === undefined || this.#parts.directory.isShared(traffic)) return;
    this.#tokens.delete(traffic);
    this.#traffic.delete(token);
  }
}
