/**
 * How processes become one cluster and stay one: from a list of servers alone, with no step of formatting; when all are started again;
 * when one comes back with an empty disk, and so without the vote that it may have given away; when votes are given and taken.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeQuorum } from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { AddRaftVoterApi, makeAddRaftVoterRequest } from "#protocol/generated/add-raft-voter.ts";
import {
  makeRemoveRaftVoterRequest,
  RemoveRaftVoterApi,
} from "#protocol/generated/remove-raft-voter.ts";
import { ErrorCode } from "#common/error-code.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { askCluster, waitForNodes } from "../support/cluster-questions.ts";
import { freePort } from "../support/process.ts";

let directory: string;
let cluster: BrokerCluster;

async function waitFor(what: string, isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitForNodes(cluster.nodes, what, isReached);
}

async function asked<T>(question: (client: Cluster) => Promise<T>): Promise<T> {
  return await askCluster(cluster, question);
}

/** Members as `kafka-metadata-quorum` would show them. */
async function members(): Promise<string> {
  const quorum = await asked(describeQuorum).catch(() => null);
  return (quorum?.replicas ?? [])
    .map(({ id, role }) => `${id} ${role === "observer" ? "observer" : "voter"}`)
    .join(", ");
}

function node(id: number): ClusterNode {
  const found = cluster.nodes.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no node ${id}`);
  return found;
}

function meta(id: number, key: string): string {
  const text = readFileSync(join(directory, `node-${id}`, "data", "meta.properties"), "latin1");
  return new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "";
}

async function addVoter(id: number, directoryId: string, clusterId: string): Promise<number> {
  const { controllerPort } = node(id);
  const listeners = [{ name: "CONTROLLER", host: "127.0.0.1", port: controllerPort }];
  const request = makeAddRaftVoterRequest({
    clusterId,
    timeoutMs: 10_000,
    voterId: id,
    voterDirectoryId: directoryId,
    listeners,
  });
  return asked(async (client) => {
    const connection = await client.any();
    return (await connection.send(AddRaftVoterApi, request)).errorCode;
  });
}

async function removeVoter(id: number, directoryId: string, clusterId: string): Promise<number> {
  const request = makeRemoveRaftVoterRequest({
    clusterId,
    voterId: id,
    voterDirectoryId: directoryId,
  });
  return asked(async (client) => {
    const connection = await client.any();
    return (await connection.send(RemoveRaftVoterApi, request)).errorCode;
  });
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-members-"));
});

afterAll(async () => {
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("three nodes that know addresses only wait for each other, and form one quorum", async () => {
  cluster = await sluiceCluster({
    directory,
    isQuorumDynamic: true,
    overrides: { "sluice.admin.listener": "", "offsets.topic.num.partitions": "1" },
  });
  node(1).launch();
  node(2).launch();
  await waitFor("wait for node 3", () => node(1).log().includes("no answer from"));
  expect(existsSync(join(directory, "node-1", "data", "meta.properties"))).toBe(false);
  await cluster.start();
  await waitFor("three voters", async () => (await members()) === "1 voter, 2 voter, 3 voter");
  expect(new Set([1, 2, 3].map((id) => meta(id, "cluster.id"))).size).toBe(1);
}, 90_000);

test("all of them started again are the same quorum", async () => {
  await cluster.stop("SIGKILL");
  await cluster.start();
  await waitFor("three voters", async () => (await members()) === "1 voter, 2 voter, 3 voter");
}, 90_000);

test("a voter that comes back at another address says so, and is needed there", async () => {
  const properties = join(directory, "node-3", "server.properties");
  const portBefore = node(3).controllerPort;
  const port = await freePort();
  await node(3).stop("SIGTERM");
  const text = readFileSync(properties, "latin1");
  const moved = text.replace(/^listeners=.*$/m, (line) =>
    line.replace(`:${portBefore}`, `:${port}`),
  );
  expect(moved).not.toBe(text);
  writeFileSync(properties, moved);
  await node(3).start();
  await waitFor("its new address", async () => {
    const listeners = (await asked(describeQuorum).catch(() => null))?.listeners ?? [];
    return listeners.some((each) => each.port === port) && listeners.length === 3;
  });
  // Two of three must reach each other now, and one of them is the voter that moved.
  await node(1).stop("SIGKILL");
  await waitFor("another term", async () =>
    [2, 3].includes((await asked(describeQuorum).catch(() => null))?.leaderId ?? -1),
  );
  await node(1).start();
  await node(3).stop("SIGTERM");
  writeFileSync(properties, text);
  await node(3).start();
  await waitFor("its old address", async () => {
    const listeners = (await asked(describeQuorum).catch(() => null))?.listeners ?? [];
    return listeners.some((each) => each.port === portBefore);
  });
}, 120_000);

test("a node with an empty disk is no voter before it is made one, and then in place of its earlier self", async () => {
  const clusterId = meta(1, "cluster.id");
  const lost = meta(3, "directory.id");
  await node(3).stop("SIGKILL");
  rmSync(join(directory, "node-3", "data"), { recursive: true });
  await node(3).start();
  await waitFor(
    "observer beside the lost voter",
    async () => (await members()) === "1 voter, 2 voter, 3 voter, 3 observer",
  );
  const fresh = meta(3, "directory.id");
  expect(fresh).not.toBe(lost);
  expect(await addVoter(3, fresh, clusterId)).toBe(ErrorCode.DUPLICATE_VOTER);
  expect(await removeVoter(3, fresh, clusterId)).toBe(ErrorCode.VOTER_NOT_FOUND);
  expect(await removeVoter(3, lost, "other")).toBe(ErrorCode.INCONSISTENT_CLUSTER_ID);
  expect(await removeVoter(3, lost, clusterId)).toBe(0);
  await waitFor("two voters", async () => (await members()) === "1 voter, 2 voter, 3 observer");
  expect(await addVoter(3, fresh, clusterId)).toBe(0);
  await waitFor("three voters", async () => (await members()) === "1 voter, 2 voter, 3 voter");
}, 120_000);

test("a controller that may make itself a voter takes the place of the one it was before", async () => {
  await node(2).stop("SIGKILL");
  rmSync(join(directory, "node-2", "data"), { recursive: true });
  appendFileSync(
    join(directory, "node-2", "server.properties"),
    "controller.quorum.auto.join.enable=true\n",
  );
  const lost = (await asked(describeQuorum))?.replicas.find(({ id }) => id === 2)?.directoryId;
  await node(2).start();
  await waitFor("node 2 as another voter", async () => {
    const quorum = await asked(describeQuorum).catch(() => null);
    const own = quorum?.replicas.filter(({ id }) => id === 2) ?? [];
    return own.length === 1 && own[0]?.role !== "observer" && own[0]?.directoryId !== lost;
  });
}, 120_000);

test("the vote of the leader is taken: another one leads", async () => {
  const leader = (await asked(describeQuorum))?.leaderId ?? -1;
  const clusterId = meta(1, "cluster.id");
  expect(await removeVoter(leader, meta(leader, "directory.id"), clusterId)).toBe(0);
  await waitFor("an observer that led", async () =>
    (await members()).includes(`${leader} observer`),
  );
  const quorum = await asked(describeQuorum);
  expect(quorum?.leaderId).not.toBe(leader);
  // A restart of them all, with two voters now.
  await cluster.stop("SIGKILL");
  await cluster.start();
  await waitFor("the same members", async () => (await members()).includes(`${leader} observer`));
}, 120_000);
