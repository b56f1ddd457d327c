/** Which nodes begin a cluster, and which never do: every case is one answer of the other controllers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Candidate, decideFormation, type FormationStep } from "#cluster/formation.ts";
import {
  answerProbe,
  isGenuineReport,
  makeProbe,
  type NodeReport,
  QuorumProbeApi,
} from "#cluster/quorum-probe.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";

const NONCE = "aaaaaaaaaaaaaaaaaaaaaA";

function node(nodeId: number, changes: Partial<NodeReport> = {}): NodeReport {
  const incarnationId = `${nodeId}bcdefghijklmnopqrstuA`.slice(0, 22);
  const place = { clusterId: null, quorum: "a,b,c", epoch: -1, offset: -1 };
  return { state: "empty", nodeId, incarnationId, ...place, ...changes };
}

function candidates(...reports: readonly (NodeReport | null)[]): Candidate[] {
  return reports.map((report, index) => ({
    address: `host${index + 1}:9093`,
    nodeId: null,
    report,
  }));
}

function step(own: NodeReport, ...reports: readonly (NodeReport | null)[]): FormationStep {
  return decideFormation(own, true, candidates(...reports));
}

describe("decideFormation", () => {
  test("the lowest node id begins a cluster of empty nodes, the others wait for it", () => {
    const nodes = [node(3), node(1), node(2)];
    expect(step(node(1), ...nodes)).toEqual({ kind: "found", clusterId: null, others: [2, 3] });
    expect(step(node(2), ...nodes)).toMatchObject({ kind: "wait" });
    expect(step(node(3), ...nodes)).toMatchObject({ kind: "wait" });
  });

  test("nobody begins one while a controller is silent: it may remember a cluster", () => {
    expect(step(node(1), node(1), node(2), null)).toEqual({
      kind: "wait",
      why: "no answer from host3:9093: all controllers of a new cluster must be there once",
    });
  });

  test("a member of a cluster is joined, whoever else is silent", () => {
    const member = node(2, { state: "member", clusterId: "X", quorum: "another list" });
    expect(step(node(1), node(1), member, null)).toEqual({ kind: "join", clusterId: "X" });
    expect(decideFormation(node(9), false, candidates(null, member))).toEqual({
      kind: "join",
      clusterId: "X",
    });
  });

  test("a broker never begins a cluster", () => {
    const nodes = candidates(node(1), node(2));
    expect(decideFormation(node(1), false, nodes)).toMatchObject({ kind: "wait" });
  });

  test("the newest metadata of nodes that were alone begins the cluster, under its id", () => {
    const alone = node(3, { state: "alone", clusterId: "X", epoch: 2, offset: 10 });
    const older = node(1, { state: "alone", clusterId: "X", epoch: 1, offset: 99 });
    const nodes = [older, node(2), alone];
    expect(step(alone, ...nodes)).toEqual({ kind: "found", clusterId: "X", others: [1, 2] });
    expect(step(older, ...nodes)).toMatchObject({ kind: "wait" });
  });

  test.each([
    [
      "directories of several clusters",
      [node(1, { clusterId: "X", state: "alone" }), node(2, { clusterId: "Y", state: "alone" })],
    ],
    [
      "members of several clusters",
      [
        node(1),
        node(2, { state: "member", clusterId: "X" }),
        node(3, { state: "member", clusterId: "Y" }),
      ],
    ],
    [
      "a node of another cluster among members",
      [node(1, { clusterId: "Y" }), node(2, { state: "member", clusterId: "X" })],
    ],
    ["two nodes of one id", [node(1), node(1, { incarnationId: "zzzzzzzzzzzzzzzzzzzzzA" })]],
  ])("%s are refused", (_what, nodes) => {
    expect(step(nodes[0] ?? node(1), ...nodes).kind).toBe("refuse");
  });

  test("another list of controllers, and one without this node, begin nothing", () => {
    expect(step(node(1), node(1), node(2, { quorum: "a,b" })).kind).toBe("wait");
    expect(step(node(1), node(2), node(3)).kind).toBe("wait");
  });

  test("a voter that the list calls otherwise is refused", () => {
    const named = [{ address: "host1:9093", nodeId: 2, report: node(1) }];
    expect(decideFormation(node(1), true, named).kind).toBe("refuse");
  });

  test("whatever the others are, at most one of them begins a cluster, and none beside an old one", () => {
    const state = fc.constantFrom("empty" as const, "alone" as const, "member" as const);
    const place = fc.record({ state, epoch: fc.nat(2), offset: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(place, { minLength: 1, maxLength: 5 }), (places) => {
        const nodes = places.map(({ state: is, epoch, offset }, index) =>
          node(index + 1, {
            state: is,
            clusterId: is === "empty" ? null : "X",
            ...(is === "alone" ? { epoch, offset } : {}),
          }),
        );
        const founders = nodes.filter(
          (own) => own.state !== "member" && step(own, ...nodes).kind === "found",
        );
        const hasMember = nodes.some(({ state: is }) => is === "member");
        expect(founders.length).toBe(hasMember ? 0 : 1);
      }),
    );
  });
});

describe("QuorumProbe", () => {
  test("what a node says of itself arrives, and a secret proves it", () => {
    const report = node(2, { state: "alone", clusterId: "X", epoch: 3, offset: 70 });
    for (const secret of [null, "s"]) {
      const probe = makeProbe(secret, NONCE);
      const writer = new Writer(256);
      QuorumProbeApi.response.encode(writer, answerProbe(secret, probe, report), 0);
      const answer = QuorumProbeApi.response.decode(new Reader(writer.toBytes()), 0);
      expect(answer).toMatchObject({ ...report, errorCode: 0 });
      expect(isGenuineReport(secret, probe, answer)).toBe(true);
      expect(isGenuineReport("other", probe, answer)).toBe(false);
      expect(isGenuineReport(secret, probe, { ...answer, offset: 71 })).toBe(secret === null);
    }
  });

  test("who does not know the secret is told nothing; who cannot tell yet says so", () => {
    expect(answerProbe("s", makeProbe("other", NONCE), node(1))).toMatchObject({
      errorCode: 31,
      nodeId: -1,
    });
    expect(answerProbe("s", makeProbe("s", NONCE), null)).toMatchObject({ errorCode: 41 });
  });
});
