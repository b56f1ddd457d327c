/**
 * APIs that clients have no business with, or that we do not serve yet, sent by a client to a broker's listener: what brokers and
 * controllers say to each other, transactions, newer kinds of groups, access control, quotas, telemetry. The request of each is the
 * plain default of its highest version; and what follows from it is on the list of differences until we serve it.
 */
import type { ApiMessages } from "#protocol/api.ts";
import { API_VERSIONS, apiByKey } from "#protocol/apis.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import { ask, frame, header, raw, repeat, requestFrame } from "../bytes.ts";
import { type Case, one } from "../case.ts";
import { SAMPLES } from "./samples.ts";

const SERVED: ReadonlySet<number> = new Set(SAMPLES.map(({ api }) => api.key));

/** `ListOffsets` as its file is named. */
function fileOf(name: string): string {
  return name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, "-").toLowerCase();
}

/** The default request of an API, from the function that its generated file exports. */
async function defaultRequest(name: string): Promise<unknown> {
  const generated = (await import(
    `../../../../src/protocol/generated/${fileOf(name)}.ts`
  )) as Record<string, unknown>;
  const make = generated[`make${name}Request`] as () => unknown;
  return make();
}

const UNSERVED_CASES: Case[] = [];
for (const { key, name, maxVersion, isLatestVersionUnstable } of API_VERSIONS.values()) {
  if (SERVED.has(key)) continue;
  const api = apiByKey(key) as ApiMessages<unknown, unknown>;
  const version = isLatestVersionUnstable ? Math.max(api.minVersion, maxVersion - 1) : maxVersion;
  const request = await defaultRequest(name);
  const bytes = requestFrame(api, version, request);
  UNSERVED_CASES.push(one(`cluster/${name}`, raw(bytes)));
  UNSERVED_CASES.push(
    one(
      `cluster/${name} without a body`,
      raw(frame(header(key, version, version >= api.firstFlexibleVersion))),
    ),
  );
  UNSERVED_CASES.push(
    one(
      `cluster/${name} of version 99`,
      raw(frame(header(key, 99, api.firstFlexibleVersion < 99), repeat(0, 8))),
    ),
  );
}

/** All of them. */
export const CLUSTER_CASES: readonly Case[] = [
  ...UNSERVED_CASES,
  ...[0, 1, 2, 3, -1].map((endpointType) =>
    one(
      `cluster/DescribeCluster endpoint type ${endpointType}`,
      ask(DescribeClusterApi, 1, makeDescribeClusterRequest({ endpointType })),
    ),
  ),
  one(
    "cluster/DescribeLogDirs of nothing",
    ask(DescribeLogDirsApi, 4, makeDescribeLogDirsRequest({ topics: [] })),
  ),
  one(
    "cluster/DescribeLogDirs of a missing topic",
    ask(
      DescribeLogDirsApi,
      4,
      makeDescribeLogDirsRequest({ topics: [{ topic: "corpus-missing", partitions: [0] }] }),
    ),
  ),
  one("cluster/DescribeLogDirs of an unknown partition", ({ topic }) =>
    ask(
      DescribeLogDirsApi,
      4,
      makeDescribeLogDirsRequest({ topics: [{ topic, partitions: [9, -1] }] }),
    ),
  ),
  one("cluster/DescribeLogDirs of a partition twice", ({ topic }) =>
    ask(
      DescribeLogDirsApi,
      4,
      makeDescribeLogDirsRequest({ topics: [{ topic, partitions: [0, 0] }] }),
    ),
  ),
];
