/**
 * What anybody who reaches the port of a controller may try against a live cluster: nodes of another cluster, with another secret, under
 * an id that is taken, frames that only nodes may send, and messages of raft that no node would. All of it is refused and counted, the
 * log tells of it now and then, and the cluster does not notice.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeQuorum } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { type MetPeer, meetPeer, type PeerConnector } from "#cluster/peer-connection.ts";
import { encodeRaftMessages } from "#cluster/peer-gate.ts";
import type { PeerIdentity } from "#cluster/peer-hello.ts";
import { type BrokerCluster, sluiceCluster } from "../support/cluster-process.ts";
import { freePort, until } from "../support/process.ts";

const PATIENCE_MS = 60_000;
const SECRET = "a secret of the cluster";
const DIRECTORY = "sx69ofQQJcDlhUIHBV6W8w";

let directory: string;
let cluster: BrokerCluster;
let adminPort: number;
let clusterId: string;
let before: { readonly leaderId: number; readonly leaderEpoch: number };

async function quorum(): Promise<{ leaderId: number; leaderEpoch: number; members: string }> {
  const bootstrap = cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
  const client = await Cluster.connect({ bootstrap });
  try {
    const found = await describeQuorum(client);
    const members = (found?.replicas ?? []).map(({ id }) => id).join();
    clusterId = client.metadata.clusterId ?? "";
    return { leaderId: found?.leaderId ?? -1, leaderEpoch: found?.leaderEpoch ?? -1, members };
  } finally {
    client.close();
  }
}

function connector(changes: Partial<PeerIdentity>): PeerConnector {
  return {
    identity: {
      clusterId,
      nodeId: 9,
      directoryId: DIRECTORY,
      incarnationId: "zzzzzzzzzzzzzzzzzzzzzA",
      host: "127.0.0.1",
      port: 1,
      secret: SECRET,
      ...changes,
    },
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    random: { next: () => Math.random(), uuid: () => randomId() },
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 5_000,
    maxFrameBytes: 1 << 20,
  };
}

function randomId(): string {
  return Buffer.from(crypto.randomUUID().replaceAll("-", ""), "hex").toString("base64url");
}

function controllerPort(): number {
  return cluster.nodes[0]?.controllerPort ?? 0;
}

async function meet(changes: Partial<PeerIdentity>): Promise<MetPeer> {
  const peer = { nodeId: -1, host: "127.0.0.1", port: controllerPort() };
  return meetPeer(peer, connector(changes));
}

/** Sends bytes on a connection of its own; settles when the other side closes it. */
async function closedAfter(bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket: Socket = connect({ host: "127.0.0.1", port: controllerPort() });
    socket.once("connect", () => socket.write(bytes));
    socket.once("close", () => resolve());
    socket.on("error", () => {});
    socket.setTimeout(PATIENCE_MS, () => reject(new Error("it is still open")));
    socket.resume();
  });
}

/** Counters of refused peers, by reason. */
async function refused(): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const rows = text.matchAll(/^sluice_cluster_refused_total\{reason="([^"]+)"\} (\d+)$/gm);
  return new Map([...rows].map(([, reason = "", count]) => [reason, Number(count)]));
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sluice-bad-peers-"));
  adminPort = await freePort();
  cluster = await sluiceCluster({
    directory,
    overrides: { "sluice.cluster.secret": SECRET },
    overridesOf: ({ id }) => ({
      "sluice.admin.listener": id === 1 ? `127.0.0.1:${adminPort}` : "",
    }),
  });
  await cluster.start();
  await until(
    async () => (await quorum().catch(() => null))?.members === "1,2,3",
    PATIENCE_MS,
    () => cluster.nodes.map((node) => node.log().slice(-1500)).join("\n"),
  );
  before = await quorum();
}, 120_000);

afterAll(async () => {
  await cluster?.stop("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test("strangers and impostors are refused and counted", async () => {
  const attempts: readonly (readonly [string, Partial<PeerIdentity>])[] = [
    ["other-cluster", { clusterId: "MkU3OEVBNTcwNTJENDM2Qk" }],
    ["wrong-secret", { secret: "another secret" }],
    ["wrong-secret", { secret: null }],
    ["duplicate-node", { nodeId: 1 }],
    ["duplicate-node", { nodeId: 2 }],
  ];
  for (const [, changes] of attempts) {
    for (let time = 0; time < 20; time += 1) await expect(meet(changes)).rejects.toThrow();
  }
  const counts = await refused();
  expect(counts.get("other-cluster")).toBe(20);
  expect(counts.get("wrong-secret")).toBe(40);
  expect(counts.get("duplicate-node")).toBe(40);
  // Told now and then, not each time.
  const log = cluster.nodes[0]?.log() ?? "";
  const told = log.match(/refusing a node that wants to join/g)?.length ?? 0;
  expect(told).toBeGreaterThan(0);
  expect(told).toBeLessThan(40);
}, 60_000);

test("frames of nodes from who is none, and frames of absurd size, close their connection", async () => {
  await closedAfter(encodeRaftMessages([new Uint8Array(100)]));
  const absurd = new Uint8Array(64);
  new DataView(absurd.buffer).setInt32(0, 0x7fff_ffff);
  await closedAfter(absurd);
  expect((await refused()).get("no-hello")).toBe(1);
}, 90_000);

test("a node of the cluster that sends raft nonsense is heard of, and harms nobody", async () => {
  const { connection } = await meet({});
  connection.post(encodeRaftMessages([new Uint8Array(1000), new Uint8Array(0)]));
  connection.post(encodeRaftMessages([new Uint8Array(4 << 20)]));
  await until(
    async () => ((await refused()).get("raft-malformed") ?? 0) >= 3,
    PATIENCE_MS,
    () => "raft messages that no member sends are not counted",
  );
  connection.close();
}, 60_000);

test("the cluster did not notice", async () => {
  const { leaderId, leaderEpoch, members } = await quorum();
  expect({ leaderId, leaderEpoch }).toEqual({
    leaderId: before.leaderId,
    leaderEpoch: before.leaderEpoch,
  });
  expect(members).toBe("1,2,3");
});
