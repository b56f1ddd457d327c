/**
 * The driver with its own native nodes: three in memory on a network and a clock of the test's, and one on disk.
 */
import { afterEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Scheduler } from "#common/time.ts";
import { SYSTEM_SCHEDULER } from "#broker/system-ports.ts";
import { Quorum } from "#quorum/quorum.ts";
import type { EntryPosition, QuorumError, QuorumOptions } from "#quorum/quorum.ts";
import { openMemoryRaftNode, openRaftNode } from "#quorum/raft-node.ts";
import { RaftError, RaftRefusal } from "#quorum/raft.ts";
import type { CrashKind, RaftNode, RaftNodeOptions } from "#quorum/raft.ts";
import { ManualTime } from "../../support/manual-time.ts";

const TICK_MS = 50;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (content: string): Uint8Array => Buffer.from(content);

function nodeOptions(id: number, overrides: Partial<RaftNodeOptions> = {}): RaftNodeOptions {
  return {
    id,
    voters: [0, 1, 2],
    learners: [],
    directory: null,
    electionTicks: 10,
    heartbeatTicks: 2,
    seed: 7,
    maxFrameBytes: 1 << 20,
    ...overrides,
  };
}

/** A member: its quorum and the state that it applied, a list of words. */
class Member {
  readonly quorum: Quorum;
  readonly node: RaftNode;
  words: string[] = [];
  activeTerms: (number | null)[] = [];
  failure: Error | null = null;

  constructor(
    node: RaftNode,
    scheduler: Scheduler,
    send: QuorumOptions["send"],
    overrides: Partial<QuorumOptions> = {},
  ) {
    this.node = node;
    this.quorum = new Quorum({
      node,
      scheduler,
      tickMs: TICK_MS,
      send,
      onCommitted: (entry) => this.words.push(text(entry.data)),
      onSnapshot: ({ data }) => (this.words = JSON.parse(text(data)) as string[]),
      image: () => bytes(JSON.stringify(this.words)),
      snapshotBytes: 1 << 20,
      onLeadership: (term) => this.activeTerms.push(term),
      onFailure: (error) => (this.failure = error),
      ...overrides,
    });
  }
}

/** Members in memory; what they send arrives a millisecond later, unless one of both is cut off. */
class Group {
  readonly time: ManualTime = new ManualTime();
  readonly members: Map<number, Member> = new Map();
  readonly cut: Set<number> = new Set();
  readonly trace: { hash: number | bigint } = { hash: 0 };
  readonly #overrides: Partial<QuorumOptions>;

  constructor(ids: readonly number[], overrides: Partial<QuorumOptions> = {}, seed = 7) {
    this.#overrides = overrides;
    for (const id of ids) this.add(openMemoryRaftNode(nodeOptions(id, { seed })));
  }

  add(node: RaftNode): Member {
    const send = (to: number, message: Uint8Array): void => {
      this.trace.hash = Bun.hash(message, BigInt(this.trace.hash));
      this.time.after(1, () => {
        if (this.cut.has(to) || this.cut.has(node.id)) return;
        const refusal = this.members.get(to)?.quorum.receive(node.id, message);
        // A member that is gone may still speak.
        const mayBe: readonly RaftRefusal[] = [RaftRefusal.NONE, RaftRefusal.STALE];
        expect(mayBe).toContain(refusal ?? RaftRefusal.NONE);
      });
    };
    const member = new Member(node, this.time, send, this.#overrides);
    this.members.set(node.id, member);
    member.quorum.start();
    return member;
  }

  member(id: number): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  /** Lets time pass until the condition holds. */
  until(holds: () => boolean, ticks = 400): void {
    for (let tick = 0; !holds(); tick += 1) {
      if (tick === ticks) throw new Error("the condition never came to hold");
      this.time.advance(TICK_MS);
    }
  }

  /** The active controller among those that are not cut off. */
  leader(): Member {
    const found = (): Member | undefined =>
      [...this.members.values()].find(
        ({ node, quorum }) => quorum.activeTerm !== null && !this.cut.has(node.id),
      );
    this.until(() => found() !== undefined);
    return found() as Member;
  }

  /** What the promise came to, after letting time pass. */
  async outcome(promise: Promise<EntryPosition>): Promise<EntryPosition | QuorumError> {
    let result: EntryPosition | QuorumError | null = null;
    promise.then(
      (position) => (result = position),
      (error: unknown) => (result = error as QuorumError),
    );
    for (let tick = 0; result === null; tick += 1) {
      if (tick === 400) throw new Error("the promise was never settled");
      this.time.advance(TICK_MS);
      await Promise.resolve();
    }
    return result;
  }

  crash(id: number, kind: CrashKind): Member {
    const { node, quorum } = this.member(id);
    quorum.abandon();
    this.members.delete(id);
    return this.add(node.crash(kind, 99));
  }
}

describe("quorum", () => {
  test("commits in one order on every member", async () => {
    const group = new Group([0, 1, 2]);
    const leader = group.leader();
    const first = await group.outcome(leader.quorum.propose(bytes("one")));
    const second = await group.outcome(leader.quorum.propose(bytes("two")));
    expect(second).toEqual({
      index: (first as EntryPosition).index + 1,
      term: leader.quorum.term,
    });
    group.until(() => [...group.members.values()].every(({ words }) => words.length === 2));
    for (const { words, quorum } of group.members.values()) {
      expect(words).toEqual(["one", "two"]);
      expect(quorum.leaderId).toBe(leader.node.id);
    }
    const follower = [...group.members.values()].find((member) => member !== leader) as Member;
    const refused = (await group.outcome(follower.quorum.propose(bytes("x")))) as QuorumError;
    expect([refused.code, refused.isFateUnknown]).toEqual(["NOT_CONTROLLER", false]);
    const { peers, voters, refused: counts } = leader.quorum.status();
    expect(voters).toEqual([0, 1, 2]);
    expect(peers.map(({ matched }) => matched)).toEqual([
      leader.quorum.appliedIndex,
      leader.quorum.appliedIndex,
    ]);
    expect(Object.values(counts).every((count) => count === 0)).toBe(true);
  });

  test("a leader that is cut off loses its proposals, and what was committed stays", async () => {
    const group = new Group([0, 1, 2]);
    const old = group.leader();
    await group.outcome(old.quorum.propose(bytes("kept")));
    group.cut.add(old.node.id);
    const lost = group.outcome(old.quorum.propose(bytes("lost")));
    const error = (await lost) as QuorumError;
    expect([error.code, error.isFateUnknown]).toEqual(["NOT_CONTROLLER", true]);
    expect(old.quorum.activeTerm).toBeNull();
    const next = group.leader();
    expect(next).not.toBe(old);
    await group.outcome(next.quorum.propose(bytes("after")));
    group.cut.clear();
    group.until(() => old.words.length === 2);
    expect(old.words).toEqual(["kept", "after"]);
    expect(old.activeTerms.at(-1)).toBeNull();
  });

  test("members that crash come back with what they promised", async () => {
    const group = new Group([0, 1, 2]);
    await group.outcome(group.leader().quorum.propose(bytes("before")));
    for (const kind of ["lose-unsynced", "keep-written", "torn"] as const) {
      for (const id of [0, 1, 2]) group.crash(id, kind);
      await group.outcome(group.leader().quorum.propose(bytes(kind)));
    }
    expect(group.leader().words).toEqual(["before", "lose-unsynced", "keep-written", "torn"]);
  });

  test("a member that comes late is given an image, and is promoted when it has caught up", async () => {
    const group = new Group([0, 1, 2], { snapshotBytes: 200 });
    const leader = group.leader();
    for (let number = 0; number < 30; number += 1)
      await group.outcome(leader.quorum.propose(bytes(`word ${number} of thirty`)));
    expect(leader.quorum.status().snapshotIndex).toBeGreaterThan(20);
    const late = group.add(openMemoryRaftNode(nodeOptions(9)));
    const added = (await group.outcome(leader.quorum.addVoter(9))) as EntryPosition;
    expect(added.term).toBe(leader.quorum.term);
    group.until(() => late.words.length === 30 && late.quorum.status().voters.includes(9));
    expect(late.words).toEqual(leader.words);

    await group.outcome(
      leader.quorum.changeMembers([
        { kind: "remove", id: leader.node.id === 0 ? 1 : 0 },
        { kind: "add-learner", id: leader.node.id === 2 ? 1 : 2 },
      ]),
    );
    group.until(() => leader.quorum.status().outgoing.length === 0);
    expect(leader.quorum.status().voters).toEqual([leader.node.id, 9]);
    const invalid = (await group.outcome(leader.quorum.changeMembers([]))) as QuorumError;
    expect(invalid.code).toBe("INVALID_CHANGE");

    leader.quorum.transferTo(9);
    group.until(() => late.quorum.activeTerm !== null);
    await group.outcome(late.quorum.propose(bytes("mine")));
    group.until(() => leader.words.includes("mine"));
  });

  test("two runs of one seed are the same, and another seed is not", async () => {
    const run = async (seed: number): Promise<string> => {
      const group = new Group([0, 1, 2], {}, seed);
      for (let round = 0; round < 5; round += 1) {
        const leader = group.leader();
        await group.outcome(leader.quorum.propose(bytes(`round ${round}`)));
        group.cut.clear();
        group.cut.add(leader.node.id);
        group.time.advance(2000);
      }
      return `${group.trace.hash}`;
    };
    expect(await run(1)).toBe(await run(1));
    expect(await run(1)).not.toBe(await run(2));
  });

  test("a full disk stops acknowledgements until there is room; a failed one stops the node", () => {
    const group = new Group([0]);
    let failure: Error | null = null;
    const states: boolean[] = [];
    const node = openMemoryRaftNode(nodeOptions(0, { voters: [0] }));
    const persist = node.persist.bind(node);
    const failing = Object.assign(node, {
      persist: () => {
        if (failure !== null) throw failure;
        return persist();
      },
    });
    const member = new Member(failing, group.time, () => {}, {
      onDiskFull: (isFull) => states.push(isFull),
    });
    member.quorum.start();
    group.until(() => member.quorum.activeTerm !== null);
    failure = new RaftError("DISK_FULL", "no room");
    void member.quorum.propose(bytes("patient"));
    group.time.advance(TICK_MS * 100);
    expect([member.words, states]).toEqual([[], [true]]);
    failure = null;
    group.until(() => member.words.length === 1);
    expect(states).toEqual([true, false]);
    failure = new Error("the device is gone");
    const lost = member.quorum.propose(bytes("lost"));
    lost.catch(() => {});
    group.time.advance(TICK_MS);
    expect(member.failure?.message).toBe("the device is gone");
    expect(member.quorum.activeTerm).toBeNull();
  });
});

describe("quorum on disk", () => {
  const directories: string[] = [];
  const open: Member[] = [];

  afterEach(async () => {
    for (const member of open.splice(0)) await member.quorum.stop();
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });

  async function start(directory: string): Promise<Member> {
    const options = nodeOptions(4, { voters: [4], directory });
    const member = new Member(await openRaftNode(options), SYSTEM_SCHEDULER, () => {}, {
      tickMs: 5,
    });
    open.push(member);
    const active = Promise.withResolvers<void>();
    const isActive = (): boolean => member.quorum.activeTerm !== null;
    const watch = setInterval(() => isActive() && active.resolve(), 2);
    member.quorum.start();
    await active.promise;
    clearInterval(watch);
    return member;
  }

  test("a restart finds what was committed, behind a torn tail too; damage stops it", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-quorum-"));
    directories.push(directory);
    const before = await start(directory);
    for (const word of ["alpha", "beta", "gamma"]) await before.quorum.propose(bytes(word));
    await before.quorum.stop();
    open.splice(0);

    const log = join(directory, "__cluster_raft", "raft-0");
    const segment = readdirSync(log).find((name) => name.endsWith(".log"));
    const path = join(log, segment ?? "");
    appendFileSync(path, readFileSync(path).subarray(0, 40));
    const again = await start(directory);
    expect(again.words).toEqual(["alpha", "beta", "gamma"]);
    expect(await again.quorum.propose(bytes("delta"))).toMatchObject({ term: again.quorum.term });
    const locked = openRaftNode(nodeOptions(4, { directory }));
    expect(locked).rejects.toMatchObject({ code: "LOG_DIR_LOCKED" });
    await locked.catch(() => {});
    await again.quorum.stop();
    open.splice(0);

    writeFileSync(join(directory, "__cluster_raft", "raft-state"), "version=1\n");
    const damaged = openRaftNode(nodeOptions(4, { directory }));
    expect(damaged).rejects.toMatchObject({ code: "RAFT_CORRUPT" });
    await damaged.catch(() => {});
  });
});
