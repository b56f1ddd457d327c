/**
 * Subscriptions by pattern: matched on the side, not while a member waits, and stored, so that all coordinators see the same topics.
 *
 * Matching runs in an event of its own, all patterns of a group together: when a member brings a new one, when topics were created since
 * the last time, and every `group.consumer.regex.refresh.interval.ms`; never twice within ten seconds.
 */
import type { GroupStep } from "../classic/context.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import { type ConsumerContext, patternsTimerKey } from "./context.ts";
import { sortedNames } from "./member.ts";
import { bumpEpoch } from "./epoch.ts";

/** Shortest time between two rounds of matching, ms. */
const REFRESH_PAUSE_MS = 10_000;

/** What is known of the patterns before a member's new words count. */
export interface PatternsBefore {
  readonly resolvedCount: number;
  readonly refreshedAtMs: number;
  readonly version: number;
}

/** All patterns of a group are matched together, so any of them tells when. */
export function patternsBefore(group: ConsumerGroup): PatternsBefore {
  const resolved = group.resolvedEntries();
  const [, any] = resolved[0] ?? [];
  return {
    resolvedCount: resolved.length,
    refreshedAtMs: any?.timestampMs ?? Number.NEGATIVE_INFINITY,
    version: any?.version ?? 0,
  };
}

/** True when the group's patterns are to be matched now. */
export function isPatternRefreshDue(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  before: PatternsBefore,
  isPatternNew: boolean,
): boolean {
  if (!group.hasPatterns) return false;
  if (context.timers.isSet(patternsTimerKey(group.groupId))) return false;
  if (step.nowMs <= before.refreshedAtMs + REFRESH_PAUSE_MS) return false;
  return (
    isPatternNew ||
    group.usedPatterns().length !== before.resolvedCount ||
    before.version < context.topics.creationVersion() ||
    step.nowMs > before.refreshedAtMs + context.config.groupConsumerRegexRefreshIntervalMs
  );
}

/** Matches all patterns of the group and stores the outcome. */
export function resolvePatterns(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
): void {
  const { groupId } = group;
  const names = [...context.topics.names()];
  const version = context.topics.version();
  let isChanged = false;
  for (const pattern of group.usedPatterns()) {
    const topics = sortedNames(context.patterns.match(pattern, names));
    const known = group.resolved(pattern)?.topics ?? new Set<string>();
    if (known.size !== topics.length || !topics.every((topic) => known.has(topic)))
      isChanged = true;
    const value = { topics, version, timestamp: step.nowMs };
    context.emit(step, { kind: "consumer-pattern", groupId, pattern, value });
  }
  const metadataHash = context.hashes.ofGroup(group.subscribedTopics());
  if (isChanged || metadataHash !== group.metadataHash) {
    bumpEpoch(context, step, group, metadataHash);
  }
}
