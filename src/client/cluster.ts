/**
 * A cluster as a client sees it: who its brokers are, who leads which partition, and a connection to each broker that is used. What it
 * knows comes from Metadata and ages; whoever is told NOT_LEADER_OR_FOLLOWER asks again.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
  type MetadataResponse,
} from "#protocol/generated/metadata.ts";
import { type Address, formatAddress } from "./address.ts";
import { ClientError, refused } from "./client-error.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { retrying } from "./retry.ts";

/** How a client reaches a cluster. */
export interface ClusterOptions extends ConnectionOptions {
  /** Brokers to ask first; any one that answers will do. */
  readonly bootstrap: readonly Address[];
  /** Time after which a retriable failure is given up. */
  readonly retryTimeoutMs?: number;
}

/** One partition, as Metadata tells it. */
export interface PartitionMetadata {
  readonly partition: number;
  /** Node id, -1 for none. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly offlineReplicas: readonly number[];
}

/** One topic, as Metadata tells it; partitions in order. */
export interface TopicMetadata {
  readonly name: string;
  readonly topicId: string;
  readonly isInternal: boolean;
  readonly partitions: readonly PartitionMetadata[];
}

/** What Metadata told. */
export interface ClusterMetadata {
  readonly clusterId: string | null;
  /** Node id, -1 when unknown. */
  readonly controllerId: number;
  readonly brokers: ReadonlyMap<number, Address & { readonly rack: string | null }>;
}

/** Which topics to ask for. */
export interface TopicQuery {
  /** Names, or null for all. */
  readonly topics: readonly string[] | null;
  /** Whether the broker may create those that do not exist, if it is configured to. */
  readonly allowAutoTopicCreation?: boolean;
}

const DEFAULT_RETRY_TIMEOUT_MS = 15_000;
const GROUP_KEY_TYPE = 0;
/** Version 4 asks for several at once, in other fields. */
const FIND_ONE_COORDINATOR_VERSION = 3;

/** See the head of the file. */
export class Cluster implements Disposable {
  readonly retryTimeoutMs: number;
  readonly #options: ClusterOptions;
  readonly #connections: Map<string, Promise<Connection>> = new Map();
  #metadata: ClusterMetadata | null = null;
  #isClosed = false;

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.retryTimeoutMs = options.retryTimeoutMs ?? DEFAULT_RETRY_TIMEOUT_MS;
  }

  /**
   * Connects to the first of the bootstrap servers that answers.
   *
   * @throws ClientError of the last one tried, when none does.
   */
  static async connect(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    try {
      await cluster.refresh({ topics: [] });
      return cluster;
    } catch (error) {
      cluster.close();
      throw error;
    }
  }

  /** What the last Metadata told. */
  get metadata(): ClusterMetadata {
    if (this.#metadata === null) throw new ClientError("UNREACHABLE", "not connected");
    return this.#metadata;
  }

  /** Asks for metadata, and gives the answer as it came: topics may carry errors. */
  async refresh(query: TopicQuery): Promise<MetadataResponse> {
    const connection = await this.any();
    const version = connection.versionOf(MetadataApi) ?? 0;
    const answer = await connection.send(
      MetadataApi,
      makeMetadataRequest({
        // Version 0 has no null; there the empty list means all.
        topics:
          query.topics === null
            ? version === 0
              ? []
              : null
            : query.topics.map((name) => makeMetadataRequestTopic({ name })),
        allowAutoTopicCreation: version < 4 || (query.allowAutoTopicCreation ?? false),
      }),
    );
    this.#metadata = {
      clusterId: answer.clusterId,
      controllerId: answer.controllerId,
      brokers: new Map(
        answer.brokers.map(({ nodeId, host, port, rack }) => [nodeId, { host, port, rack }]),
      ),
    };
    return answer;
  }

  /** All topics without an error, sorted by name. */
  async listTopics(): Promise<readonly TopicMetadata[]> {
    const answer = await this.refresh({ topics: null });
    return answer.topics
      .filter(({ errorCode }) => errorCode === 0)
      .map(toTopic)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * One topic with a leader for every partition, waiting a while for leaders.
   *
   * @throws ClientError REFUSED with UNKNOWN_TOPIC_OR_PARTITION when it does not exist and is not to be created.
   */
  topic(name: string, options: { readonly mayCreate?: boolean } = {}): Promise<TopicMetadata> {
    const mayCreate = options.mayCreate ?? false;
    return retrying(
      async () => {
        const answer = await this.refresh({ topics: [name], allowAutoTopicCreation: mayCreate });
        const topic = answer.topics.find((candidate) => candidate.name === name);
        if (topic === undefined)
          throw new ClientError("BAD_ANSWER", `no answer about topic '${name}'`);
        if (topic.errorCode !== 0) throw refused(`topic '${name}'`, topic.errorCode);
        const leaderless = topic.partitions.find(({ leaderId }) => leaderId < 0);
        if (leaderless !== undefined) {
          throw refused(
            `topic '${name}', partition ${leaderless.partitionIndex}`,
            ErrorCode.LEADER_NOT_AVAILABLE,
          );
        }
        return toTopic(topic);
      },
      this.retryTimeoutMs,
      // A topic that is unknown stays so, unless we have just caused it to be made.
      (error) =>
        error.isRetriable &&
        (mayCreate || error.errorCode !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    );
  }

  /** A connection to any broker. */
  async any(): Promise<Connection> {
    let failure: unknown = null;
    for (const address of this.#candidates()) {
      try {
        return await this.#connectionTo(address);
      } catch (error) {
        failure = error;
      }
    }
    throw failure ?? new ClientError("UNREACHABLE", "there is no address to connect to");
  }

  /** A connection to a broker by its node id. */
  node(nodeId: number): Promise<Connection> {
    const address = this.metadata.brokers.get(nodeId);
    if (address === undefined)
      throw new ClientError("UNREACHABLE", `no broker of the cluster has node id ${nodeId}`);
    return this.#connectionTo(address);
  }

  /** A connection of its own to a broker, for requests that wait; the caller closes it. */
  async ownConnectionTo(address: Address): Promise<Connection> {
    if (this.#isClosed) throw new ClientError("CLOSED", "the client was closed");
    return Connection.open(address, this.#options);
  }

  /** A connection to the controller, or to any broker while none is known: brokers forward. */
  async controller(): Promise<Connection> {
    const { controllerId, brokers } = this.metadata;
    return brokers.has(controllerId) ? this.node(controllerId) : this.any();
  }

  /** A connection to an address that the cluster told, shared with whoever else asks for it. */
  connectionTo(address: Address): Promise<Connection> {
    return this.#connectionTo(address);
  }

  /** Who coordinates a group. */
  coordinatorOf(groupId: string): Promise<Address & { readonly nodeId: number }> {
    return retrying(async () => {
      const answer = await (
        await this.any()
      ).send(
        FindCoordinatorApi,
        makeFindCoordinatorRequest({ key: groupId, keyType: GROUP_KEY_TYPE }),
        { maxVersion: FIND_ONE_COORDINATOR_VERSION },
      );
      if (answer.errorCode !== 0)
        throw refused(`group '${groupId}'`, answer.errorCode, answer.errorMessage);
      return { nodeId: answer.nodeId, host: answer.host, port: answer.port };
    }, this.retryTimeoutMs);
  }

  /** Closes every connection; whoever still waits for an answer fails, and nothing is opened any more. */
  close(): void {
    this.#isClosed = true;
    for (const opening of this.#connections.values()) {
      opening.then(
        (connection) => connection.close(),
        () => {},
      );
    }
    this.#connections.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  *#candidates(): Generator<Address> {
    yield* this.#options.bootstrap;
    if (this.#metadata !== null) yield* this.#metadata.brokers.values();
  }

  async #connectionTo(address: Address): Promise<Connection> {
    if (this.#isClosed) throw new ClientError("CLOSED", "the client was closed");
    const key = formatAddress(address);
    const known = this.#connections.get(key);
    if (known !== undefined) {
      const connection = await known;
      if (connection.isOpen) return connection;
      // Somebody else may have replaced it while we waited.
      const current = this.#connections.get(key);
      if (current !== undefined && current !== known) return current;
    }
    const opening = Connection.open(address, this.#options);
    this.#connections.set(key, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.#connections.get(key) === opening) this.#connections.delete(key);
      throw error;
    }
  }
}

function toTopic(topic: MetadataResponse["topics"][number]): TopicMetadata {
  return {
    name: topic.name ?? "",
    topicId: topic.topicId,
    isInternal: topic.isInternal,
    partitions: topic.partitions
      .map((partition) => ({
        partition: partition.partitionIndex,
        leader: partition.leaderId,
        leaderEpoch: partition.leaderEpoch,
        replicas: partition.replicaNodes,
        isr: partition.isrNodes,
        offlineReplicas: partition.offlineReplicas,
      }))
      .sort((a, b) => a.partition - b.partition),
  };
}
