/** What a simulated node is told and tells of itself: its configuration, its registration, and its raft member with a disk's speed. */
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import { SUPPORTED_FEATURES } from "#controller/registration.ts";
import {
  type BrokerRegistrationRequest,
  makeBrokerRegistrationRequest,
  makeFeature,
  makeListener,
} from "#protocol/generated/broker-registration.ts";
import type { RaftNode } from "#quorum/raft.ts";
import { openMemoryRaftNode } from "#quorum/raft-node.ts";
import type { Plan } from "./faults.ts";
import { CLUSTER_ID } from "./names.ts";

/** `broker.session.timeout.ms` */
export const SESSION_MS = 3000;
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;

/** Opens the raft member of a node that has none yet. */
export function openRaft(
  { nodeCount, voterCount, switchedOff }: Plan,
  id: number,
  seed: number,
): RaftNode {
  const ids = Array.from({ length: nodeCount }, (_, each) => each);
  return openMemoryRaftNode({
    id,
    voters: ids.slice(0, voterCount),
    learners: ids.slice(voterCount),
    directory: null,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    seed,
    maxFrameBytes: 1 << 20,
    unsafeAcknowledgeEarly: switchedOff.includes("raft-sync"),
  });
}

/** A member whose writes are somebody else's to time. */
export function withPersist(node: RaftNode, persist: (node: RaftNode) => Promise<void>): RaftNode {
  return {
    id: node.id,
    tick: () => node.tick(),
    step: (bytes, from) => node.step(bytes, from),
    admit: (id) => node.admit(id),
    propose: (data) => node.propose(data),
    proposeMembers: (changes) => node.proposeMembers(changes),
    campaign: () => node.campaign(),
    transferTo: (id) => node.transferTo(id),
    reportUnreachable: (id) => node.reportUnreachable(id),
    ready: () => node.ready(),
    needsPersist: () => node.needsPersist(),
    persist: () => persist(node),
    persisted: () => node.persisted(),
    snapshot: (index, data) => node.snapshot(index, data),
    status: () => node.status(),
    crash: (kind, seed) => node.crash(kind, seed),
    close: () => node.close(),
  };
}

/** What a broker says of itself. */
export function registrationOf(
  brokerId: number,
  incarnationId: string,
  directoryId: string,
): BrokerRegistrationRequest {
  return makeBrokerRegistrationRequest({
    brokerId,
    clusterId: CLUSTER_ID,
    incarnationId,
    listeners: [makeListener({ name: "PLAINTEXT", host: `node${brokerId}`, port: 9092 })],
    logDirs: [directoryId],
    features: SUPPORTED_FEATURES.map(({ name, min, max }) =>
      makeFeature({ name, minSupportedVersion: min, maxSupportedVersion: max }),
    ),
  });
}

/** Configurations by what plans say of them; they never change. */
const configs: Map<string, BrokerConfig> = new Map();

/** The configuration of every broker. */
export function configOf({ replicationFactor, minIsr }: Plan): BrokerConfig {
  const key = `${replicationFactor}/${minIsr}`;
  const known = configs.get(key);
  if (known !== undefined) return known;
  const { config, errors } = resolveBrokerConfig({
    file: new Map([
      ["default.replication.factor", String(replicationFactor)],
      ["min.insync.replicas", String(minIsr)],
      ["broker.session.timeout.ms", String(SESSION_MS)],
    ]),
  });
  if (config === null) throw new Error(errors.join("\n"));
  configs.set(key, config);
  return config;
}
