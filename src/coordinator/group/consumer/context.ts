/** What the parts of the consumer protocol share: settings, timers, the cluster's topics, and how records come about. */
import type { GroupSettings } from "#config/group-config.ts";
import type { TimerBook } from "../../runtime/step.ts";
import type { GroupStep, TimerAction } from "../classic/context.ts";
import { sessionTimerKey } from "../classic/context.ts";
import type { GroupCoordinatorConfig } from "../config.ts";
import type { GroupCoordinatorRecord } from "../records.ts";
import type { TopicLookup } from "../topic-lookup.ts";
import type { Assignor } from "./assignor/assignor.ts";
import type { TopicHashes } from "./topic-hashes.ts";

/** Reads and applies patterns in RE2's syntax, which is Kafka's. */
export interface PatternMatcher {
  /** @returns why the pattern can't be read, `null` when it can. */
  check(pattern: string): string | null;
  /** Names the pattern matches as a whole; none for a pattern that can't be read. */
  match(pattern: string, names: readonly string[]): readonly string[];
}

/** Surroundings of the consumer protocol. */
export interface ConsumerContext {
  readonly config: GroupCoordinatorConfig;
  readonly timers: TimerBook<TimerAction>;
  readonly topics: TopicLookup;
  readonly hashes: TopicHashes;
  readonly patterns: PatternMatcher;
  readonly assignors: ReadonlyMap<string, Assignor>;
  settings(groupId: string): GroupSettings;
  /**
   * Adds a record to the step and applies it at once, so that the rest of the decision builds on it. Should the step fail, the shard
   * takes everything back.
   */
  emit(step: GroupStep, record: GroupCoordinatorRecord): void;
}

/** Starts a member's session anew. */
export function resetConsumerSession(
  context: ConsumerContext,
  step: GroupStep,
  groupId: string,
  memberId: string,
  timeoutMs: number = context.settings(groupId).consumerSessionTimeoutMs,
): void {
  const action: TimerAction = { kind: "consumer-session", groupId, memberId };
  context.timers.set(step.timers, sessionTimerKey(groupId, memberId), timeoutMs, action);
}

/** Bounds the time in which a member must give back what it was told to. */
export function startRevocation(
  context: ConsumerContext,
  step: GroupStep,
  groupId: string,
  member: { readonly memberId: string; readonly memberEpoch: number; rebalanceTimeoutMs: number },
): void {
  const { memberId, memberEpoch, rebalanceTimeoutMs } = member;
  const action: TimerAction = { kind: "consumer-rebalance", groupId, memberId, memberEpoch };
  const key = revocationTimerKey(groupId, memberId);
  context.timers.set(step.timers, key, rebalanceTimeoutMs, action);
}

export function endRevocation(
  context: ConsumerContext,
  step: GroupStep,
  groupId: string,
  memberId: string,
): void {
  context.timers.clear(step.timers, revocationTimerKey(groupId, memberId));
}

/** The two waits of a member that speaks the classic protocol: for its JoinGroup, and for its SyncGroup. */
export type Round = "join" | "sync";

/** Bounds the time until a classic member's next JoinGroup or SyncGroup. */
export function startRound(
  context: ConsumerContext,
  step: GroupStep,
  round: Round,
  groupId: string,
  member: { readonly memberId: string; readonly rebalanceTimeoutMs: number },
): void {
  const { memberId, rebalanceTimeoutMs } = member;
  const action: TimerAction = { kind: "consumer-round", groupId, memberId };
  const key = roundTimerKey(round, groupId, memberId);
  context.timers.set(step.timers, key, rebalanceTimeoutMs, action);
}

/** As `startRound`, unless it is running already. */
export function startRoundOnce(
  context: ConsumerContext,
  step: GroupStep,
  round: Round,
  groupId: string,
  member: { readonly memberId: string; readonly rebalanceTimeoutMs: number },
): void {
  if (context.timers.isSet(roundTimerKey(round, groupId, member.memberId))) return;
  startRound(context, step, round, groupId, member);
}

export function endRound(
  context: ConsumerContext,
  step: GroupStep,
  round: Round,
  groupId: string,
  memberId: string,
): void {
  context.timers.clear(step.timers, roundTimerKey(round, groupId, memberId));
}

/** Forgets all timers of a member. */
export function endTimers(
  context: ConsumerContext,
  step: GroupStep,
  groupId: string,
  memberId: string,
): void {
  context.timers.clear(step.timers, sessionTimerKey(groupId, memberId));
  endRevocation(context, step, groupId, memberId);
  endRound(context, step, "join", groupId, memberId);
  endRound(context, step, "sync", groupId, memberId);
}

/** Key of the timer behind which a group's patterns are matched. */
export function patternsTimerKey(groupId: string): string {
  return `patterns:${groupId}`;
}

function revocationTimerKey(groupId: string, memberId: string): string {
  return `revocation:${groupId.length}:${groupId}:${memberId}`;
}

function roundTimerKey(round: Round, groupId: string, memberId: string): string {
  return `consumer-${round}:${groupId.length}:${groupId}:${memberId}`;
}
