/**
 * Elections while disks are slow. The raft crate stops a node for good that becomes leader with a log which is not on its disk (its
 * `become_leader` asserts it); members whose messages wait for the disk as they should never get there, however late messages arrive.
 */
import { expect, test } from "bun:test";
import type { RaftMessage, RaftNode } from "#quorum/raft.ts";
import { openMemoryRaftNode } from "#quorum/raft-node.ts";
import { SeededRandom } from "../../simulation/random.ts";

const IDS = [0, 1, 2];
const RUNS = 12;
const STEPS = 500;
/** Messages on their way; one more takes the place of an old one. */
const WAITING_MAX = 60;

function openAll(seed: number): RaftNode[] {
  return IDS.map((id) =>
    openMemoryRaftNode({
      id,
      voters: IDS,
      learners: [],
      directory: null,
      electionTicks: 10,
      heartbeatTicks: 2,
      seed: seed + id,
      maxFrameBytes: 1 << 20,
    }),
  );
}

function messagesOf(node: RaftNode): RaftMessage[] {
  const messages: RaftMessage[] = [];
  for (let ready = node.ready(); ready !== null; ready = node.ready())
    messages.push(...ready.messages);
  return messages;
}

function persist(node: RaftNode): RaftMessage[] {
  void node.persist();
  return [...node.persisted().messages, ...messagesOf(node)];
}

test("nobody is asked for a vote, or for the promise of one, before the log is on disk", () => {
  const nodes = openAll(1);
  const [leader, follower] = nodes as [RaftNode, RaftNode];
  const deliver = (messages: readonly RaftMessage[]): void => {
    for (const { to, bytes } of messages) nodes[to]?.step(bytes);
  };
  leader.campaign();
  for (let round = 0; round < 20; round += 1) {
    for (const node of nodes)
      deliver([...messagesOf(node), ...(node.needsPersist() ? persist(node) : [])]);
  }
  expect(leader.status().role).toBe("leader");
  expect(leader.propose(Buffer.from("not on disk"))).toBeGreaterThan(0);
  deliver(messagesOf(leader).filter(({ to }) => to === follower.id));
  expect(messagesOf(follower)).toEqual([]);
  expect(follower.needsPersist()).toBe(true);
  follower.campaign();
  expect(messagesOf(follower)).toEqual([]);
  const { role, persisted, lastIndex } = follower.status();
  expect(role).toBe("candidate");
  expect(persisted).toBeLessThan(lastIndex);
  // Its answer to the leader, and what it asks of the two others.
  expect(persist(follower).map(({ to }) => to)).toEqual([0, 0, 2]);
});

/** Ticks, proposals, elections, messages late, twice or never, and writes that take their time. */
function run(seed: number): number {
  const random = new SeededRandom(seed);
  const nodes = openAll(seed);
  const waiting: RaftMessage[] = [];
  let unpersistedCandidates = 0;
  const send = (messages: readonly RaftMessage[]): void => {
    for (const message of messages) {
      if (waiting.length < WAITING_MAX) waiting.push(message);
      else waiting[random.integer(0, WAITING_MAX)] = message;
    }
  };
  for (let step = 0; step < STEPS; step += 1) {
    const node = random.pick(nodes);
    const lot = random.next();
    if (lot < 0.3) node.tick();
    else if (lot < 0.75) {
      const at = random.integer(0, Math.max(1, waiting.length));
      const message = random.chance(0.1) ? waiting[at] : waiting.splice(at, 1)[0];
      if (message !== undefined) nodes[message.to]?.step(message.bytes);
    } else if (lot < 0.85) node.propose(Buffer.from(`${step}`));
    else if (lot < 0.87) node.campaign();
    else if (lot < 0.88) node.transferTo(random.pick(IDS));
    else if (node.needsPersist()) send(persist(node));
    for (const each of nodes) send(messagesOf(each));
    const { role, persisted, lastIndex, poison } = node.status();
    if (poison !== null) throw new Error(`seed ${seed}, step ${step}: ${poison}`);
    if (role === "candidate" && persisted < lastIndex) unpersistedCandidates += 1;
  }
  return unpersistedCandidates;
}

test("no order of ticks, messages and writes stops a member", () => {
  let unpersistedCandidates = 0;
  for (let seed = 1; seed <= RUNS; seed += 1) unpersistedCandidates += run(seed);
  // The runs do come to where it would matter.
  expect(unpersistedCandidates).toBeGreaterThan(0);
}, 60_000);
