/** Commits and reads of offsets, as plain requests. */
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
  type OffsetCommitRequest,
  type OffsetCommitResponse,
} from "#protocol/generated/offset-commit.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import type { Wire } from "../../test/differential/wire.ts";

/** Last version that names topics rather than their ids: what both systems and every client speak. */
export const OFFSET_COMMIT_VERSION = 9;
const OFFSET_FETCH_VERSION = 9;

/** Who commits; without a member the group is one that assigns its own partitions. */
export interface Committer {
  readonly groupId: string;
  readonly memberId?: string;
  readonly generationIdOrMemberEpoch?: number;
}

/** A commit of partitions `0 … count - 1`; the offset of each is its index plus `base`. */
export function commitRequest(
  who: Committer,
  topic: string,
  count: number,
  base: number,
): OffsetCommitRequest {
  const partitions = Array.from({ length: count }, (_, partitionIndex) =>
    makeOffsetCommitRequestPartition({
      partitionIndex,
      committedOffset: base + partitionIndex,
      committedLeaderEpoch: 0,
      committedMetadata: "",
    }),
  );
  return makeOffsetCommitRequest({
    ...who,
    topics: [makeOffsetCommitRequestTopic({ name: topic, partitions })],
  });
}

/** The first error of a commit's answer, or that it has fewer partitions than were committed. */
export function commitError(answer: OffsetCommitResponse, count: number): string | null {
  const rows = answer.topics.flatMap(({ partitions }) => partitions);
  const bad = rows.find(({ errorCode }) => errorCode !== ErrorCode.NONE);
  if (bad !== undefined) return errorInfo(bad.errorCode).name;
  return rows.length === count ? null : `${rows.length} of ${count} partitions answered`;
}

/** Commits once. @returns what was wrong, or null. */
export async function commitOnce(
  wire: Wire,
  who: Committer,
  topic: string,
  count: number,
  base: number,
): Promise<string | null> {
  const request = commitRequest(who, topic, count, base);
  return commitError(await wire.send(OffsetCommitApi, OFFSET_COMMIT_VERSION, request), count);
}

/**
 * Reads some partitions of many groups with one request.
 *
 * @returns by group the offsets in the order asked for, or the name of the group's error.
 */
export async function fetchOffsets(
  wire: Wire,
  groupIds: readonly string[],
  topic: string,
  partitionIndexes: readonly number[],
): Promise<Map<string, number[] | string>> {
  const topics = [
    makeOffsetFetchRequestTopics({ name: topic, partitionIndexes: [...partitionIndexes] }),
  ];
  const groups = groupIds.map((groupId) => makeOffsetFetchRequestGroup({ groupId, topics }));
  const answer = await wire.send(
    OffsetFetchApi,
    OFFSET_FETCH_VERSION,
    makeOffsetFetchRequest({ groups }),
  );
  return new Map(
    answer.groups.map(({ groupId, errorCode, topics: found }): [string, number[] | string] => {
      if (errorCode !== ErrorCode.NONE) return [groupId, errorInfo(errorCode).name];
      const offsets = new Map(
        found.flatMap(({ partitions }) =>
          partitions.map(({ partitionIndex, committedOffset }) => [
            partitionIndex,
            committedOffset,
          ]),
        ),
      );
      return [groupId, partitionIndexes.map((index) => offsets.get(index) ?? -1)];
    }),
  );
}
