/** Plans of resets, the files they are kept in, and how a group looks, without a cluster. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { printGroupReport } from "#cli/group/group-output.ts";
import { joinReport } from "#cli/group/group-report.ts";
import {
  formatPlanCsv,
  type PartitionFacts,
  parsePlanCsv,
  planReset,
  type ResetTarget,
} from "#cli/group/reset-plan.ts";
import { parseTopicSelection } from "#cli/group/topic-selection.ts";
import type { GroupDescription } from "#client/groups.ts";
import { fakeIo } from "../../support/fake-io.ts";

const fact: PartitionFacts = {
  topic: "t",
  partition: 0,
  start: 10,
  end: 50,
  committed: 20,
  atTime: null,
};

describe("planReset", () => {
  test.each([
    [{ kind: "earliest" }, {}, 10, null],
    [{ kind: "latest" }, {}, 50, null],
    [{ kind: "current" }, {}, 20, null],
    [{ kind: "current" }, { committed: null }, 50, "nothing is committed: the end"],
    [{ kind: "current" }, { committed: 3 }, 10, "3 lies before the start, 10"],
    [{ kind: "offset", offset: 30 }, {}, 30, null],
    [{ kind: "offset", offset: 51 }, {}, 50, "51 lies past the end, 50"],
    [{ kind: "shift", by: -11 }, {}, 10, "9 lies before the start, 10"],
    [{ kind: "shift", by: 5 }, {}, 25, null],
    [{ kind: "time", timestampMs: 1 }, { atTime: 33 }, 33, null],
    [{ kind: "time", timestampMs: 1 }, { atTime: -1 }, 50, "no record is that late: the end"],
    [{ kind: "rows", rows: [{ topic: "t", partition: 0, offset: 12 }] }, {}, 12, null],
  ] as const satisfies readonly (readonly [
    ResetTarget,
    Partial<PartitionFacts>,
    number,
    string | null,
  ])[])("%j of %j is %d", (target, part, offset, warning) => {
    const [row] = planReset([{ ...fact, ...part }], target);
    expect([row?.offset, row?.warning]).toEqual([offset, warning]);
  });

  test("a shift needs an offset in every partition", () => {
    expect(() =>
      planReset([fact, { ...fact, partition: 1, committed: null }], { kind: "shift", by: 1 }),
    ).toThrow("nothing is committed in t:1: there is no offset to shift");
  });

  test("never leaves what a partition has", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.integer(), fc.nat(), (start, length, by, committed) => {
        const end = start + length;
        const [row] = planReset([{ ...fact, start, end, committed }], { kind: "shift", by });
        expect(row !== undefined && row.offset >= start && row.offset <= end).toBe(true);
      }),
    );
  });
});

describe("the file of a plan", () => {
  test("is read as it was written", () => {
    const rows = [
      { topic: "a.b-c_d", partition: 0, offset: 7 },
      { topic: "t", partition: 12, offset: 0 },
    ];
    expect(parsePlanCsv(formatPlanCsv(rows), "g")).toEqual(rows);
  });

  test("may name groups, and has other groups' rows left out", () => {
    const text = '"g,1",t,0,5\r\nother,t,0,9\r\n"say ""hi""",t,1,1\n\n';
    expect(parsePlanCsv(text, "g,1")).toEqual([{ topic: "t", partition: 0, offset: 5 }]);
    expect(parsePlanCsv(text, 'say "hi"')).toEqual([{ topic: "t", partition: 1, offset: 1 }]);
  });

  test.each(["t,0", "t,x,1", "t,0,-1", ",0,1", "g,t,0,1,9"])(
    "%j is refused by its line",
    (line) => {
      expect(() => parsePlanCsv(`t,0,1\n${line}\n`, "g")).toThrow("line 2 of the file");
    },
  );
});

describe("--topic", () => {
  test("names topics, partitions and ranges", () => {
    expect([...parseTopicSelection(["a", "b:0,2-4", "b:2,7", "c:1", "c"])]).toEqual([
      ["a", null],
      ["b", [0, 2, 3, 4, 7]],
      ["c", null],
    ]);
  });
  test.each(["", ":0", "t:", "t:a", "t:3-1", "t:0-99999999", "t:99999999999"])(
    "%j is none",
    (text) => {
      expect(() => parseTopicSelection([text])).toThrow("--topic wants");
    },
  );
});

describe("a group on the screen", () => {
  const member = {
    memberId: "console-consumer-4ced5020-1f84-4905-9927-f29bb26d7c10",
    instanceId: null,
    clientId: "console-consumer",
    host: "127.0.0.1",
    rackId: null,
    protocol: "consumer",
    memberEpoch: 2,
    subscribedTopics: ["orders"],
    subscribedRegex: null,
    assignment: new Map([["orders", [0, 1]]]),
    target: new Map([["orders", [0]]]),
  } as const;
  const group: GroupDescription = {
    groupId: "billing",
    type: "consumer",
    state: "Reconciling",
    protocolType: "consumer",
    assignor: "uniform",
    coordinator: { nodeId: 1, host: "127.0.0.1", port: 9092 },
    groupEpoch: 3,
    targetEpoch: 3,
    members: [member],
  };
  const committed = (topic: string, partition: number, offset: number) => ({
    topic,
    partition,
    offset,
    leaderEpoch: -1,
    metadata: "",
  });
  const ends = new Map([["orders", new Map([0, 1, 2, 3].map((partition) => [partition, 100]))]]);
  const starts = new Map([["orders", new Map([[3, 50]])]]);
  const report = joinReport(
    group,
    [
      committed("gone", 0, 5),
      committed("orders", 0, 100),
      committed("orders", 1, 90),
      committed("orders", 2, 99),
      committed("orders", 3, 20),
    ],
    { starts, ends },
  );

  test("rows, lag, and what the numbers do not say", async () => {
    const io = fakeIo();
    await printGroupReport(report, io);
    expect(io.out.replaceAll(member.memberId, "MEMBER")).toBe(
      `billing  Reconciling, consumer protocol, assignor uniform, epoch 3
1 member, coordinator 1 (127.0.0.1:9092). Total lag 91.

MEMBER                                                 CLIENT            HOST       EPOCH  READS       TO READ
MEMBER  console-consumer  127.0.0.1      2  orders:0-1  orders:0

TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER                                                 CLIENT            HOST
gone            0          5    -    -  -                                                      -                 -
orders          0        100  100    0  MEMBER  console-consumer  127.0.0.1
orders          1         90  100   10  MEMBER  console-consumer  127.0.0.1
orders          2         99  100    1  -                                                      -                 -
orders          3         20  100   80  -                                                      -                 -

gone: the topic is gone, or none of its leaders answers; it has no end and no lag.
orders partition 3: 30 records behind the committed offset 20 are deleted; the partition begins at 50.
`,
    );
  });

  test("on a terminal lag is coloured, and member ids give way to its width", async () => {
    const io = fakeIo({ isTerminal: true, width: 80 });
    await printGroupReport(report, io);
    const rows = io.out.split("\n").filter((line) => /^(gone|orders) +\d/.test(line));
    const colors = rows.map((row) => ["[31m", "[32m", "[33m"].find((code) => row.includes(code)));
    expect(colors).toEqual([undefined, "[32m", "[33m", "[31m", "[31m"]);
    for (const line of Bun.stripANSI(io.out).split("\n").slice(2, 12))
      expect(line.length).toBeLessThanOrEqual(80);
    expect(io.out).toContain("26d7c10");
  });
});
