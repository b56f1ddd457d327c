/**
 * The throttles of replication (KIP-73) as the cluster's configuration has them: which replicas are throttled here as leader and as
 * follower, and both rates. The leader's side goes to every thread that answers followers, the follower's to the fetchers.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import {
  type ClusterImage,
  configValues,
  resourceKey,
  ResourceType,
} from "#metadata/cluster-image.ts";
import type { FollowerThrottle } from "#replica/following/ports.ts";
import type { DirectoryChange } from "#replica/partition-directory.ts";
import { type QuotaWindows, ReplicationQuota } from "#replica/replication-quota.ts";
import {
  type ThrottledPartitions,
  throttledPartitions,
  ThrottledReplicas,
} from "#replica/throttled-replicas.ts";

const LEADER_REPLICAS = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS = "follower.replication.throttled.replicas";
const LEADER_RATE = "leader.replication.throttled.rate";
const FOLLOWER_RATE = "follower.replication.throttled.rate";

/** See the head of the file. */
export class ReplicationThrottles implements FollowerThrottle {
  readonly #nodeId: number;
  readonly #windows: QuotaWindows;
  readonly #leader: ReplicationQuota;
  readonly #follower: ReplicationQuota;
  #leading: ReadonlyMap<string, ThrottledPartitions> = new Map();
  #following: ReadonlyMap<string, ThrottledPartitions> = new Map();
  #followed: ThrottledReplicas = new ThrottledReplicas(this.#following);

  constructor(nodeId: number, config: BrokerConfig) {
    this.#nodeId = nodeId;
    this.#windows = {
      count: config.number("replication.quota.window.num"),
      widthMs: config.number("replication.quota.window.size.seconds") * 1_000,
    };
    this.#leader = new ReplicationQuota(this.#windows);
    this.#follower = new ReplicationQuota(this.#windows);
  }

  /** Takes the configuration of an image over. @returns what the threads must hear of, null for nothing. */
  update(delta: ClusterDelta, image: ClusterImage): DirectoryChange | null {
    const changed = new Set(delta.changedConfigs());
    const gone = [...delta.deletedTopics()].map(({ name }) => name);
    if (changed.size === 0 && gone.length === 0) return null;
    const own = configValues(image, ResourceType.BROKER, String(this.#nodeId));
    const all = configValues(image, ResourceType.BROKER, "");
    const rate = (key: string): number => Number(own.get(key) ?? all.get(key) ?? Infinity);
    this.#leader.limit = rate(LEADER_RATE);
    this.#follower.limit = rate(FOLLOWER_RATE);
    const leading = new Map(this.#leading);
    const following = new Map(this.#following);
    let isChanged = false;
    const isTopicChanged = (name: string): boolean =>
      changed.has(resourceKey(ResourceType.TOPIC, name));
    const named = [...image.topicsByName.keys()].filter(isTopicChanged);
    for (const name of [...named, ...gone]) {
      const values = configValues(image, ResourceType.TOPIC, name);
      isChanged =
        replace(leading, name, throttledPartitions(values.get(LEADER_REPLICAS), this.#nodeId)) ||
        isChanged;
      replace(following, name, throttledPartitions(values.get(FOLLOWER_REPLICAS), this.#nodeId));
    }
    this.#following = following;
    this.#followed = new ThrottledReplicas(following);
    if (!isChanged) return null;
    this.#leading = leading;
    return {
      kind: "throttled",
      topics: leading,
      windows: this.#windows,
      memory: this.#leader.memory,
    };
  }

  isThrottled(topic: string, partition: number): boolean {
    return this.#followed.has(topic, partition);
  }

  isExceeded(nowMs: number): boolean {
    return this.#follower.isExceeded(nowMs);
  }

  record(bytes: number, nowMs: number): void {
    this.#follower.record(bytes, nowMs);
  }
}

/** Sets or removes; says whether there is, or was, anything. */
function replace(
  topics: Map<string, ThrottledPartitions>,
  name: string,
  partitions: ThrottledPartitions | null,
): boolean {
  if (partitions === null) return topics.delete(name);
  topics.set(name, partitions);
  return true;
}
