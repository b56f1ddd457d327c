/** All cases of the corpus, by subject. */
import type { Case } from "../case.ts";
import { ASSIGNMENT_CASES } from "./assignments.ts";
import { FEATURE_CASES } from "./features.ts";
import { INSPECTION_CASES } from "./inspection.ts";
import { QUOTA_CASES } from "./quotas.ts";
import { SCRAM_CASES } from "./scram.ts";
import { SECURITY_CASES } from "./security.ts";
import { API_VERSIONS_CASES } from "./api-versions.ts";
import { BOMB_CASES } from "./bombs.ts";
import { CLUSTER_CASES } from "./cluster.ts";
import { COMMITTED_OFFSET_CASES } from "./committed-offsets.ts";
import { CONFIG_RESOURCE_CASES } from "./config-resources.ts";
import { CONFIG_CASES } from "./configs.ts";
import { EVERY_API_CASES } from "./every-api.ts";
import { FETCH_CASES } from "./fetch.ts";
import { FRAMING_CASES } from "./framing.ts";
import { GROUP_LIFE_CASES } from "./group-lives.ts";
import { GROUP_CASES } from "./groups.ts";
import { IDEMPOTENCE_CASES } from "./idempotence.ts";
import { OFFSET_CASES } from "./offsets.ts";
import { PRODUCE_CASES } from "./produce.ts";
import { TELEMETRY_CASES } from "./telemetry.ts";
import { TOPIC_CASES } from "./topics.ts";

export const CASES: readonly Case[] = [
  ...FRAMING_CASES,
  ...API_VERSIONS_CASES,
  ...TOPIC_CASES,
  ...CONFIG_CASES,
  ...CONFIG_RESOURCE_CASES,
  ...TELEMETRY_CASES,
  ...PRODUCE_CASES,
  ...BOMB_CASES,
  ...IDEMPOTENCE_CASES,
  ...FETCH_CASES,
  ...OFFSET_CASES,
  ...GROUP_CASES,
  ...GROUP_LIFE_CASES,
  ...COMMITTED_OFFSET_CASES,
  ...CLUSTER_CASES,
  ...ASSIGNMENT_CASES,
  ...FEATURE_CASES,
  ...INSPECTION_CASES,
  ...QUOTA_CASES,
  ...SCRAM_CASES,
  ...SECURITY_CASES,
  ...EVERY_API_CASES,
];
