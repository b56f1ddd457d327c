/** What surrounds a run: topics, the coordinator, how durable commits are. Plain requests, every answer checked. */
import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterableConfig,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import { Wire } from "../../test/differential/wire.ts";
import type { Durability, System } from "../systems/system.ts";
import { CLIENT_ID } from "./members.ts";

const CREATE_TOPICS_VERSION = 7;
const METADATA_VERSION = 12;
const FIND_COORDINATOR_VERSION = 6;
const INCREMENTAL_ALTER_CONFIGS_VERSION = 1;
const TOPIC_RESOURCE = 2;
const SET = 0;
const DELETE = 1;
const OFFSETS_TOPIC = "__consumer_offsets";
const PATIENCE_MS = 60_000;
const PAUSE_MS = 5;

/** Throws unless the code is NONE; the message names what was asked. */
export function expectNone(errorCode: number, what: string): void {
  if (errorCode !== ErrorCode.NONE) throw new Error(`${what}: ${errorInfo(errorCode).name}`);
}

/** Asks again until the answer is complete; throws with the last reason after a minute. */
export async function retry<T>(what: string, ask: () => Promise<T | string>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (typeof answer !== "string") return answer;
    if (performance.now() > deadline) throw new Error(`${what}: ${answer}`);
    await sleep(PAUSE_MS);
  }
}

/** Creates a topic unless it is there, waits for its leaders. @returns its id. */
export async function ensureTopic(wire: Wire, name: string, partitions: number): Promise<string> {
  const created = await wire.send(
    CreateTopicsApi,
    CREATE_TOPICS_VERSION,
    makeCreateTopicsRequest({
      topics: [makeCreatableTopic({ name, numPartitions: partitions, replicationFactor: 1 })],
      timeoutMs: 30_000,
    }),
  );
  const code = created.topics[0]?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR;
  if (code !== ErrorCode.TOPIC_ALREADY_EXISTS) expectNone(code, `creating ${name}`);
  return topicWithLeaders(wire, name, partitions);
}

async function topicWithLeaders(wire: Wire, name: string, partitions: number): Promise<string> {
  const found = await retry(`leaders of ${name}`, async () => {
    const request = makeMetadataRequest({
      topics: [makeMetadataRequestTopic({ name })],
      allowAutoTopicCreation: false,
    });
    const topic = (await wire.send(MetadataApi, METADATA_VERSION, request)).topics[0];
    if (topic === undefined || topic.errorCode !== ErrorCode.NONE) return "not there";
    const led = topic.partitions.filter(({ leaderId }) => leaderId >= 0).length;
    return led === partitions ? { id: topic.topicId } : `${led} of ${partitions} led`;
  });
  return found.id;
}

/** Makes sure that groups have a coordinator: the first such question creates the topic of committed offsets. */
export async function ensureCoordinator(wire: Wire, groupIds: readonly string[]): Promise<void> {
  await retry("the coordinator", async () => {
    const answer = await wire.send(
      FindCoordinatorApi,
      FIND_COORDINATOR_VERSION,
      makeFindCoordinatorRequest({ keyType: 0, coordinatorKeys: [...groupIds] }),
    );
    const refused = answer.coordinators.find(({ errorCode }) => errorCode !== ErrorCode.NONE);
    return refused === undefined ? true : errorInfo(refused.errorCode).name;
  });
}

/** Says when a commit may be answered, by the topic settings that the produce benchmark uses for `acks=all`. */
export async function setCommitDurability(
  wire: Wire,
  system: Pick<System, "topicConfig">,
  durability: Durability,
): Promise<void> {
  const wanted = system.topicConfig(durability, -1);
  const other = system.topicConfig(durability === "fsync" ? "page-cache" : "fsync", -1);
  const configs = Object.keys({ ...other, ...wanted }).map((name) => {
    const value = wanted[name];
    return makeAlterableConfig(
      value === undefined
        ? { name, configOperation: DELETE, value: null }
        : { name, configOperation: SET, value },
    );
  });
  const resource = makeAlterConfigsResource({
    resourceType: TOPIC_RESOURCE,
    resourceName: OFFSETS_TOPIC,
    configs,
  });
  const answer = await wire.send(
    IncrementalAlterConfigsApi,
    INCREMENTAL_ALTER_CONFIGS_VERSION,
    makeIncrementalAlterConfigsRequest({ resources: [resource] }),
  );
  for (const { errorCode } of answer.responses)
    expectNone(errorCode, `settings of ${OFFSETS_TOPIC}`);
}

/** Lets members be answered before what they caused is flushed, as Kafka's are: the same is then compared on both sides. */
export async function answerFromPageCache(
  bootstrap: string,
  system: Pick<System, "topicConfig">,
): Promise<void> {
  using wire = await Wire.connect(bootstrap, CLIENT_ID);
  await ensureCoordinator(wire, ["page-cache"]);
  await setCommitDurability(wire, system, "page-cache");
}
