import { expect, test } from "bun:test";
import { checkGroup, lostCommits, repeatedReads, type GroupEnd } from "./checker.ts";
import type { MemberEvent, MemberHistory } from "./member.ts";

const assigned = (at: number, generation: number | null, ...partitions: number[]): MemberEvent => ({
  event: "assigned",
  at,
  generation,
  memberId: null,
  partitions: partitions.map((partition) => ["t", partition] as const),
});
const revoked = (at: number, event: "revoked" | "lost", ...partitions: number[]): MemberEvent => ({
  event,
  at,
  partitions: partitions.map((partition) => ["t", partition] as const),
});
const read = (at: number, generation: number | null, ...offsets: number[]): MemberEvent => ({
  event: "read",
  at,
  generation,
  topic: "t",
  partition: 0,
  offsets,
});
const committed = (at: number, next: number): MemberEvent => ({
  event: "committed",
  at,
  offsets: [["t", 0, next]],
});
const member = (name: string, ...events: MemberEvent[]): MemberHistory => ({
  name,
  identity: name.slice(0, 1),
  events,
  end: null,
});
const end = (offset: number, kept = offset): GroupEnd => ({
  ends: new Map([["t/0", offset]]),
  committed: new Map([["t/0", kept]]),
});
const names = (problems: readonly string[]): string[] =>
  problems.map((problem) => problem.slice(0, problem.indexOf(":")));

test("a partition that changes hands after its commit is right", () => {
  const one = member(
    "a",
    assigned(1, 1, 0),
    read(2, 1, 0, 1),
    committed(3, 2),
    revoked(4, "revoked", 0),
  );
  const two = member("b", assigned(5, 2, 0), read(6, 2, 2, 3), committed(7, 4));
  expect(checkGroup([one, two], end(4))).toEqual([]);
  expect(repeatedReads([one, two])).toEqual([]);
});

test("a record nobody read, and one read twice, are found", () => {
  const one = member("a", assigned(1, 1, 0), read(2, 1, 0, 1));
  expect(names(checkGroup([one], end(3, 0)))).toEqual(["complete"]);
  const two = member("b", assigned(5, 2, 0), read(6, 2, 1, 2));
  expect(names(repeatedReads([one, two]))).toEqual(["exactly once"]);
});

test("two owners in one generation are found, with what both read", () => {
  const one = member("a", assigned(1, 1, 0), read(2, 1, 0), revoked(9, "lost", 0));
  const two = member("b", assigned(5, 1, 0), read(6, 1, 0));
  expect(names(checkGroup([one, two], end(1, 0)))).toEqual(["one owner", "one reader"]);
});

test("an owner that lost its partition unknowingly is forgiven only in an older generation", () => {
  const one = member("a", assigned(1, 1, 0), read(2, 1, 0), revoked(9, "lost", 0));
  const two = member("b", assigned(5, 2, 0), read(6, 2, 0));
  expect(checkGroup([one, two], end(1, 0))).toEqual([]);
  const late = member("a", assigned(1, 1, 0), read(2, 1, 0), revoked(9, "revoked", 0));
  expect(names(checkGroup([late, two], end(1, 0)))).toEqual(["one owner"]);
  expect(checkGroup([late, two], end(1, 0), { noLost: true })).toEqual([]);
});

test("going back behind an acknowledged commit is found", () => {
  const one = member(
    "a",
    assigned(1, 1, 0),
    read(2, 1, 0, 1),
    committed(3, 2),
    revoked(4, "revoked", 0),
  );
  const two = member("b", assigned(5, 2, 0), read(6, 2, 1), committed(7, 2));
  expect(names(checkGroup([one, two], end(2)))).toEqual(["resumes"]);
});

test("gaps, repetitions and records without a partition are found", () => {
  const one = member(
    "a",
    assigned(1, 1, 0),
    read(2, 1, 0, 2, 2),
    revoked(4, "revoked", 0),
    read(5, 1, 1),
  );
  expect(names(checkGroup([one], end(3, 0)))).toEqual(["in order", "in order", "in order"]);
  expect(names(checkGroup([one], end(3, 0), { readsAfterRevoke: true }))).toEqual([
    "in order",
    "in order",
  ]);
});

test("a record handed out late, as if of the new generation, is found unless the client is known for it", () => {
  const one = member("a", assigned(1, 1, 0), revoked(2, "revoked", 0), read(4, 2, 0));
  const two = member("b", assigned(3, 2, 0), read(5, 2, 0));
  expect(names(checkGroup([one, two], end(1)))).toContain("one reader");
  expect(names(checkGroup([one, two], end(1), { isLoose: true }))).not.toContain("one reader");
});

test("a commit of who no longer owns is found", () => {
  const one = member("a", assigned(1, 1, 0), read(2, 1, 0), committed(8, 1), revoked(9, "lost", 0));
  const two = member("b", assigned(5, 2, 0), read(6, 2, 0));
  expect(names(checkGroup([one, two], end(1)))).toEqual(["fenced"]);
});

test("a generation learnt with a later record holds for the whole interval", () => {
  const one = member("a", assigned(1, null, 0), read(2, null, 0), read(3, 7, 1));
  const two = member("b", assigned(1, 7, 0), read(2, 7, 1));
  expect(names(checkGroup([one, two], end(2, 0)))).toEqual(["one owner", "one reader"]);
});

test("a static member that came back in its generation reads again what it had not committed", () => {
  const one: MemberHistory = {
    ...member("a", assigned(1, 1, 0), read(2, 1, 0)),
    end: { at: 3, isKilled: true },
  };
  const two = member("a again", assigned(5, 1, 0), read(6, 1, 0));
  expect(checkGroup([one, two], end(1, 0))).toEqual([]);
});

test("a commit the coordinator lost is found", () => {
  const one = member("a", assigned(1, 1, 0), read(2, 1, 0), committed(3, 1));
  expect(names(checkGroup([one], end(1, 0)))).toEqual(["kept"]);
  expect(names(lostCommits([one], new Map()))).toEqual(["kept"]);
  expect(lostCommits([one], new Map([["t/0", 1]]))).toEqual([]);
});
