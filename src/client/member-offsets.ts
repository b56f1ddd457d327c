/** Offsets as a member reads and commits them, the same in both protocols: what is a generation in one is an epoch in the other. */
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
} from "#protocol/generated/offset-commit.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestTopic,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { refused } from "./client-error.ts";
import type { Connection } from "./connection.ts";

/** Who commits. */
export interface MemberIdentity {
  readonly groupId: string;
  readonly memberId: string;
  /** Generation of a classic group, member epoch of the other kind. */
  readonly epoch: number;
}

/** Version 8 asks for several groups at once; version 10 names topics by id. */
const FETCH_ONE_GROUP_VERSION = 7;
const COMMIT_BY_NAME_VERSION = 9;

/** Committed offset of each partition; -1 where there is none. @throws ClientError REFUSED */
export async function fetchMemberOffsets(
  connection: Connection,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const answer = await connection.send(
    OffsetFetchApi,
    makeOffsetFetchRequest({
      groupId,
      topics: [makeOffsetFetchRequestTopic({ name: topic, partitionIndexes: [...partitions] })],
    }),
    { maxVersion: FETCH_ONE_GROUP_VERSION },
  );
  check(groupId, answer.errorCode);
  const offsets = new Map<number, number>();
  for (const row of answer.topics[0]?.partitions ?? []) {
    check(groupId, row.errorCode);
    offsets.set(row.partitionIndex, row.committedOffset);
  }
  return offsets;
}

/** Commits offsets of one topic. @throws ClientError REFUSED for the first partition that is; others may stand. */
export async function commitAsMember(
  connection: Connection,
  { groupId, memberId, epoch }: MemberIdentity,
  topic: string,
  offsets: ReadonlyMap<number, number>,
): Promise<void> {
  const answer = await connection.send(
    OffsetCommitApi,
    makeOffsetCommitRequest({
      groupId,
      generationIdOrMemberEpoch: epoch,
      memberId,
      topics: [
        makeOffsetCommitRequestTopic({
          name: topic,
          partitions: [...offsets].map(([partitionIndex, committedOffset]) =>
            makeOffsetCommitRequestPartition({
              partitionIndex,
              committedOffset,
              committedMetadata: "",
            }),
          ),
        }),
      ],
    }),
    { maxVersion: COMMIT_BY_NAME_VERSION },
  );
  for (const row of answer.topics[0]?.partitions ?? []) check(groupId, row.errorCode);
}

function check(groupId: string, errorCode: number): void {
  if (errorCode !== 0) throw refused(`group '${groupId}'`, errorCode);
}
