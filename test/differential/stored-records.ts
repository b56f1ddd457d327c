/**
 * What a broker writes to `__consumer_offsets` over the lives of two groups: batches, keys and values, byte for byte.
 *
 *   bun test/differential/stored-records.ts --bootstrap HOST:PORT        prints them
 *
 * `stored-records.txt` is what Kafka 4.4.0 wrote. Times, ids of topics and the random part of member ids are told apart only by
 * their length.
 */
import { parseArgs } from "node:util";
import { coordinatorPartition } from "#coordinator/runtime/java-hash.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import {
  JoinGroupApi,
  type JoinGroupRequest,
  type JoinGroupResponse,
} from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { MetadataApi, makeMetadataRequest } from "#protocol/generated/metadata.ts";
import { OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import { makeSyncGroupRequest, SyncGroupApi } from "#protocol/generated/sync-group.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import { awaitGroups } from "./groups.ts";
import { commitRequest, joinRequest, subscription } from "./scenarios/scene.ts";
import { Wire } from "./wire.ts";

const OFFSETS_TOPIC = "__consumer_offsets";
const FETCH_BYTES = 1 << 26;

/** Plays the lives at `address`, and reads what was written of them. @param run - eight characters no other run has. */
export async function storedRecords(address: string, run: string): Promise<string> {
  using wire = await Wire.connect(address);
  const topic = `stored-${run}`;
  const creation = makeCreateTopicsRequest({
    topics: [makeCreatableTopic({ name: topic, numPartitions: 3, replicationFactor: 1 })],
    timeoutMs: 10_000,
  });
  const created = await wire.send(CreateTopicsApi, 7, creation);
  const topicId = created.topics[0]?.topicId ?? "";
  const groups = { plain: `stored-plain-${run}`, members: `stored-members-${run}` };
  await awaitGroups(wire, Object.values(groups));
  await playPlain(wire, groups.plain, topic, topicId);
  await playMembers(wire, groups.members, topic);

  const metadata = await wire.send(MetadataApi, 12, makeMetadataRequest({ topics: null }));
  const offsets = metadata.topics.find(({ name }) => name === OFFSETS_TOPIC);
  const count = offsets?.partitions.length ?? 0;
  const lines = [`internal: ${offsets?.isInternal}`];
  for (const group of Object.values(groups)) {
    lines.push("", group.replace(run, "<run>"));
    lines.push(...(await recordsOf(wire, coordinatorPartition(group, count), run)));
  }
  return `${lines.join("\n")}\n`;
}

/** Offsets of a group without members, in the formats there are, and tombstones. */
async function playPlain(
  wire: Wire,
  groupId: string,
  topic: string,
  topicId: string,
): Promise<void> {
  const rows = [
    [0, 7, "x"],
    [1, 8, null],
    [2, Number.MAX_SAFE_INTEGER, "é猫"],
  ] as const;
  await wire.send(OffsetCommitApi, 9, commitRequest(groupId, topic, rows));
  const kept = commitRequest(groupId, topic, [[0, 9, ""]], { retentionTimeMs: 60_000 });
  await wire.send(OffsetCommitApi, 3, kept);
  await wire.send(OffsetCommitApi, 10, commitRequest(groupId, "", [[1, 9, ""]], {}, topicId));
  const partitions = [{ partitionIndex: 0 }, { partitionIndex: 2 }, { partitionIndex: 0 }];
  const removal = makeOffsetDeleteRequest({ groupId, topics: [{ name: topic, partitions }] });
  await wire.send(OffsetDeleteApi, 0, removal);
  await wire.send(DeleteGroupsApi, 2, makeDeleteGroupsRequest({ groupsNames: [groupId] }));
}

/** A static member that comes back, an old client, one that heartbeats, and an end. */
async function playMembers(wire: Wire, groupId: string, topic: string): Promise<void> {
  const identity = { groupInstanceId: "instance" };
  const join = async (init: Partial<JoinGroupRequest>, version = 9): Promise<JoinGroupResponse> => {
    const protocols = [{ name: "range", metadata: subscription(topic) }];
    const request = joinRequest(groupId, { protocols, ...init });
    const answer = await wire.send(JoinGroupApi, version, request);
    if (answer.errorCode !== 79) return answer;
    return wire.send(JoinGroupApi, version, { ...request, memberId: answer.memberId });
  };
  const leave = async (memberId: string, groupInstanceId: string | null): Promise<void> => {
    const members = [{ memberId, groupInstanceId, reason: null }];
    await wire.send(LeaveGroupApi, 5, makeLeaveGroupRequest({ groupId, members }));
  };
  const first = await join(identity);
  const member = { groupId, memberId: first.memberId, generationId: first.generationId };
  const assignments = [{ memberId: first.memberId, assignment: new Uint8Array([0, 1, 2]) }];
  const consumer = { protocolType: "consumer", protocolName: "range" };
  const sync = makeSyncGroupRequest({ ...member, ...identity, ...consumer, assignments });
  await wire.send(SyncGroupApi, 5, sync);
  const commit = commitRequest(groupId, topic, [[0, 5, ""]], {
    ...identity,
    memberId: first.memberId,
    generationIdOrMemberEpoch: first.generationId,
  });
  await wire.send(OffsetCommitApi, 9, commit);
  await wire.send(HeartbeatApi, 4, makeHeartbeatRequest({ ...member, ...identity }));
  const second = await join(identity);
  await leave(second.memberId, identity.groupInstanceId);
  const old = await join({}, 0);
  const oldMember = { groupId, memberId: old.memberId, generationId: old.generationId };
  await wire.send(SyncGroupApi, 0, makeSyncGroupRequest(oldMember));
  await leave(old.memberId, null);
  await wire.send(DeleteGroupsApi, 2, makeDeleteGroupsRequest({ groupsNames: [groupId] }));
}

async function recordsOf(wire: Wire, partition: number, run: string): Promise<string[]> {
  const request = makeFetchRequest({
    maxWaitMs: 100,
    maxBytes: FETCH_BYTES,
    sessionEpoch: -1,
    topics: [
      makeFetchTopic({
        topic: OFFSETS_TOPIC,
        partitions: [makeFetchPartition({ partition, partitionMaxBytes: FETCH_BYTES })],
      }),
    ],
  });
  const answer = await wire.send(FetchApi, 12, request);
  const stored = answer.responses[0]?.partitions[0]?.records;
  const bytes = stored instanceof Uint8Array ? stored : new Uint8Array(0);
  const lines: string[] = [];
  for (const batch of decodeRecordBatches(bytes).batches) {
    const own = batch.records.filter(({ key }) => hex(key).includes(hex(Buffer.from(run))));
    if (own.length === 0) continue;
    const { compression, producerId, isTransactional } = batch;
    lines.push(`batch of ${own.length}: ${compression} ${producerId} ${isTransactional}`);
    for (const { key, value } of own) {
      const shown = `${hex(key)} => ${value === null ? "null" : hex(value)}`;
      lines.push(`  ${shown.replaceAll(hex(Buffer.from(run)), "<run>")}`);
    }
  }
  return lines.map(plain);
}

/** Without what is different in each run. */
function plain(line: string): string {
  return (
    line
      .replaceAll(/000001[9a-f][0-9a-f]{9}/g, "<time>")
      .replaceAll(/(?:(?:3[0-9]|6[1-6])+2d){4}(?:3[0-9]|6[1-6]){12}/g, "<uuid>")
      // The tagged id of a topic: one tag, number 0, 16 bytes.
      .replaceAll(/010010[0-9a-f]{32}$/g, "<topic id>")
  );
}

function hex(bytes: Uint8Array | null): string {
  return bytes === null ? "" : Buffer.from(bytes).toString("hex");
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { bootstrap: { type: "string" } } });
  const run = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  console.log(await storedRecords(values.bootstrap ?? "127.0.0.1:9092", run));
  process.exit(0);
}
