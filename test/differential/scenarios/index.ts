/** Conversations about groups, told to any broker. */
import { CONSUMER_GROUP_SCENARIOS } from "./consumer-groups.ts";
import { KIND_SCENARIOS } from "./kinds.ts";
import { MEMBER_SCENARIOS } from "./member-life.ts";
import type { Scenarios } from "./scene.ts";
import { STRANGER_SCENARIOS } from "./strangers.ts";

/** All scenarios by name. */
export const SCENARIOS: Scenarios = {
  ...STRANGER_SCENARIOS,
  ...MEMBER_SCENARIOS,
  ...KIND_SCENARIOS,
  ...CONSUMER_GROUP_SCENARIOS,
};
