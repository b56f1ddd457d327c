/** Everything that is run, in order: later sections rely on the topics of the first. */
import type { Step } from "../steps.ts";
import { CLUSTER } from "./cluster.ts";
import { CONFIGS } from "./configs.ts";
import { GROUPS, MODERN_GROUPS } from "./groups.ts";
import { TOPICS } from "./topics.ts";

/** Steps by section. */
export const SECTIONS: ReadonlyMap<string, readonly Step[]> = new Map([
  ["topics", TOPICS],
  ["groups", GROUPS],
  ["configs", CONFIGS],
  ["cluster", CLUSTER],
  ["modern groups", MODERN_GROUPS],
]);
