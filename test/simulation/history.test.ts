/** Every rule of the checkers can fail: what is wrong is planted, and found. */
import { describe, expect, test } from "bun:test";
import { EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import type { ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import { GroupRules } from "./group-rules.ts";
import { History } from "./history.ts";
import { MetadataRules } from "./metadata-rules.ts";
import { PartitionRules } from "./replica-rules.ts";

function historyOf(count: number, acks = -1): History {
  const history = new History(2);
  for (let number = 0; number < count; number += 1) {
    history.onWrite(`p-${number}`, "p", number, 0, acks);
    history.onAck(`p-${number}`, number);
  }
  return history;
}

const logOf = (...values: string[]): { offset: number; value: string }[] =>
  values.map((value, offset) => ({ offset, value }));

describe("a history", () => {
  test("is content with a log that holds what it should", () => {
    expect(() => historyOf(2).checkLog(0, logOf("p-0", "p-1"), "it")).not.toThrow();
  });

  test.each([
    ["lost", logOf("p-0")],
    ["duplicated", logOf("p-0", "p-1", "p-1")],
    ["reordered", logOf("p-1", "p-0")],
    ["phantom", logOf("p-0", "p-1", "nobody's")],
  ])("finds what is %s", (rule, log) => {
    expect(() => historyOf(2).checkLog(0, log, "it")).toThrow(`${rule}:`);
  });

  test("forgives the loss of a record that crashes took often enough", () => {
    const history = historyOf(2);
    history.onDiskLost(0, 1);
    expect(() => history.checkLog(0, logOf("p-0"), "it")).toThrow("lost:");
    history.onDiskLost(0, 1);
    expect(() => history.checkLog(0, logOf("p-0"), "it")).not.toThrow();
  });

  test("holds an elected without everything to what it has, where it was acknowledged", () => {
    const has = new Map([
      ["p-0", 0],
      ["p-1", 1],
    ]);
    const history = historyOf(2);
    history.onUncleanElection(0, has);
    expect([history.ackedAt(0, 0), history.ackedAt(0, 1)]).toEqual(["p-0", "p-1"]);
    // An attempt in an older epoch left it at another offset: the one that was acknowledged is gone.
    history.onUncleanElection(0, has.set("p-1", 2));
    expect([history.ackedAt(0, 0), history.ackedAt(0, 1)]).toEqual(["p-0", null]);
    expect(() => history.checkLog(0, logOf("p-1"), "it")).toThrow("p-0, acknowledged at 0");
  });

  test("forgives a commit that such a leader took, and none that was answered before", () => {
    const history = new History(1);
    const rules = new GroupRules(history, 0);
    rules.onCommit(0, 1, 5);
    rules.onCommitted(0, 1, 5);
    rules.onCommit(0, 1, 6);
    history.onWrittenForNothing(0, "a record of the coordinator");
    rules.onCommitted(0, 1, 6);
    expect(() => rules.onFetch(0, 1)(5)).not.toThrow();
    expect(() => rules.onFetch(0, 1)(4)).toThrow("5 was acknowledged in 1");
  });

  test("holds nobody to what a leader took that had been replaced uncleanly", () => {
    const history = historyOf(1);
    const rules = new PartitionRules({
      topic: "t",
      partition: 0,
      slot: 0,
      minIsr: 1,
      history,
      truth: () => EMPTY_IMAGE,
    });
    rules.onAppended(0, [{ offset: 0, epoch: 0, value: "p-0" }]);
    rules.onAppended(1, [{ offset: 0, epoch: 0, value: "p-0" }]);
    rules.onUncleanElection(1, 1);
    for (const number of [1, 2]) history.onWrite(`p-${number}`, "p", number, 0, -1);
    rules.onAppended(0, [{ offset: 1, epoch: 0, value: "p-1" }]);
    history.onAck("p-1", 1);
    rules.onAppended(1, [{ offset: 1, epoch: 1, value: "p-2" }]);
    history.onAck("p-2", 1);
    expect(() => history.checkLog(0, logOf("p-0", "p-2"), "it")).not.toThrow();
    // What the new leader took counts as ever.
    expect(() => history.checkLog(0, logOf("p-0"), "it")).toThrow("p-2, acknowledged at 1");
  });

  test("does not hold anybody to acks=1, unless it was read", () => {
    const history = historyOf(2, 1);
    expect(() => history.checkLog(0, logOf("p-0"), "it")).not.toThrow();
    history.onConsume(0, { offset: 1, value: "p-1" });
    expect(() => history.checkLog(0, logOf("p-0"), "it")).toThrow("lost:");
  });

  test("finds an offset that is another record later", () => {
    const history = historyOf(2);
    history.onConsume(0, { offset: 0, value: "p-0" });
    expect(() => history.onConsume(0, { offset: 0, value: "p-1" })).toThrow("reassigned:");
  });
});

function imageOf(offset: number, partition: Partial<PartitionImage>): ClusterImage {
  const whole: PartitionImage = {
    partitionId: 0,
    leader: 0,
    leaderEpoch: 0,
    partitionEpoch: 0,
    leaderRecoveryState: 0,
    replicas: [0, 1],
    isr: [0, 1],
    removingReplicas: [],
    addingReplicas: [],
    directories: [],
    eligibleLeaderReplicas: [],
    lastKnownElr: [],
    ...partition,
  };
  const topic = { name: "t", id: "T", partitions: [whole] };
  return {
    ...EMPTY_IMAGE,
    offset,
    topicsByName: new Map([["t", topic]]),
    topicsById: new Map([["T", topic]]),
  };
}

describe("metadata", () => {
  const bytes = new Uint8Array([1]);
  const after = (partition: Partial<PartitionImage>): (() => void) => {
    const rules = new MetadataRules({ hasUncleanElections: false });
    rules.onApplied(0, bytes, imageOf(5, { leaderEpoch: 3, partitionEpoch: 3 }));
    return () => rules.onApplied(0, bytes, imageOf(6, partition));
  };

  test("may change as it should", () => {
    expect(after({ leader: 1, leaderEpoch: 4, partitionEpoch: 4, isr: [1] })).not.toThrow();
  });

  test.each<[string, Partial<PartitionImage>]>([
    ["I6", { leader: 1, leaderEpoch: 4, partitionEpoch: 4, isr: [0] }],
    ["I6", { leader: 2, leaderEpoch: 4, partitionEpoch: 4, isr: [2] }],
    ["I7", { leaderEpoch: 2, partitionEpoch: 4 }],
    ["I7", { leaderEpoch: 3, partitionEpoch: 2 }],
    ["I7", { leader: 1, leaderEpoch: 3, partitionEpoch: 4 }],
  ])("breaks %s with %j", (rule, partition) => {
    expect(after(partition)).toThrow(`${rule}:`);
  });

  test("is the same on all nodes, and terms do not go back", () => {
    const rules = new MetadataRules({ hasUncleanElections: false });
    rules.onApplied(0, bytes, imageOf(5, {}));
    expect(() => rules.onApplied(1, bytes, imageOf(5, {}))).not.toThrow();
    expect(() => rules.onApplied(1, new Uint8Array([2]), imageOf(5, {}))).toThrow("I10:");
    rules.onTermWritten(0, 4);
    expect(() => rules.onTerm(0, 3)).toThrow("I7:");
  });
});

describe("replicas", () => {
  const look = {
    isLeader: true,
    leaderEpoch: 0,
    logEndOffset: 2,
    highWatermark: 0,
    isrSize: 2,
    minIsr: 2,
  };
  const record = (offset: number, epoch: number, value: string) => ({ offset, epoch, value });
  const rulesOf = (history = new History(2)): PartitionRules =>
    new PartitionRules({
      topic: "t",
      partition: 0,
      slot: 0,
      minIsr: 2,
      history,
      truth: () => imageOf(1, {}),
    });

  test("break I1 when two lead in one epoch", () => {
    const rules = rulesOf();
    rules.onLook(0, look);
    expect(() => rules.onLook(1, look)).toThrow("I1:");
  });

  test("break I2 when a high watermark is above what a member of the ISR has", () => {
    const rules = rulesOf();
    rules.onAppended(0, [record(0, 0, "a"), record(1, 0, "b")]);
    rules.onAppended(1, [record(0, 0, "a")]);
    rules.onLook(0, { ...look, highWatermark: 1 });
    expect(() => rules.checkStrongIsr()).not.toThrow();
    rules.onLook(0, { ...look, highWatermark: 2 });
    expect(() => rules.checkStrongIsr()).toThrow("I2:");
  });

  test("break I3 when an offset and an epoch stand for two records, or follow different ones", () => {
    const rules = rulesOf();
    rules.onAppended(0, [record(0, 0, "a"), record(1, 1, "b")]);
    expect(() => rules.onAppended(1, [record(0, 0, "x")])).toThrow("I3:");
    const others = rulesOf();
    others.onAppended(0, [record(0, 0, "a"), record(1, 2, "b")]);
    others.onAppended(1, [record(0, 1, "c")]);
    expect(() => others.onAppended(1, [record(1, 2, "b")])).toThrow("I3:");
  });

  test("break I4 when a leader begins without what was acknowledged", () => {
    const rules = rulesOf(historyOf(1));
    expect(() => rules.onLook(0, look)).toThrow("I4:");
  });

  test("break I5 when a high watermark falls within an epoch", () => {
    const rules = rulesOf();
    rules.onLook(0, { ...look, highWatermark: 2 });
    expect(() => rules.onLook(0, { ...look, highWatermark: 1 })).toThrow("I5:");
    expect(() => rules.onLook(0, { ...look, leaderEpoch: 1, highWatermark: 1 })).not.toThrow();
  });

  test("break I8 when a high watermark moves, or a write is acknowledged, with too few in sync", () => {
    const rules = rulesOf();
    const few = { ...look, isrSize: 1 };
    rules.onLook(0, few);
    expect(() => rules.onLook(0, { ...few, highWatermark: 1 })).toThrow("I8:");
    expect(() => rules.onAcknowledged(0, 0)).toThrow("I8:");
  });
});
