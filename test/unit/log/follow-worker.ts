/** Follows a partition of another store from a thread of its own, until its log ends where it is told. */
import { Columns, type PartitionHandle } from "#log/log.ts";
import { nativeLogCalls } from "#log/native-log.ts";

/** Sent to the worker; it answers with its log end offset. */
export interface FollowOrder {
  readonly replicaId: number;
  readonly leader: PartitionHandle;
  readonly follower: PartitionHandle;
  readonly leaderEpoch: number;
  readonly endOffset: number;
}

declare const self: {
  onmessage: (event: { data: FollowOrder }) => void;
  postMessage(endOffset: number): void;
};

const FETCH_BYTES = 4096;

self.onmessage = ({ data }): void => {
  const { replicaId, leader, follower, leaderEpoch, endOffset } = data;
  const log = nativeLogCalls;
  const row = new Float64Array(Columns.FETCH_REQUEST);
  const answer = new Float64Array(Columns.FETCH_RESULT);
  const appended = new Float64Array(4);
  const bytes = new Uint8Array(FETCH_BYTES);
  let end = 0;
  let lastEpoch = -1;
  const step = (): void => {
    row.set([leader, end, FETCH_BYTES, leaderEpoch, lastEpoch, 0]);
    const nowMs = Date.now();
    const plan = log.fetchAsReplica(row, 1, FETCH_BYTES, true, replicaId, 1, true, nowMs, answer);
    const [errorCode = -1, highWatermark = -1, , startOffset = -1] = answer;
    if (errorCode !== 0) throw new Error(`fetch of ${replicaId}: ${errorCode}`);
    const count = plan === 0 ? 0 : log.planCopy(plan, 0, bytes, 0);
    if (plan !== 0) log.planDrop(plan);
    const records = bytes.subarray(0, count);
    const code = log.followerAppend(
      follower,
      records,
      leaderEpoch,
      highWatermark,
      startOffset,
      nowMs,
      appended,
    );
    if (code !== 0) throw new Error(`append of ${replicaId}: ${code}`);
    end = appended[0] as number;
    lastEpoch = appended[3] as number;
    // Told of the last high watermark too.
    const isDone = end >= endOffset && (appended[1] as number) >= endOffset;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker has no origin.
    if (isDone) self.postMessage(end);
    else setTimeout(step, count === 0 ? 1 : 0);
  };
  step();
};
