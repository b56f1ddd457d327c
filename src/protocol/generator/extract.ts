/**
 * Turns Kafka's message descriptors (JSON with comments, shipped inside its jars) into the compact schemas of
 * `schema.ts`, and joins the versions that Kafka 4.4 dropped but its predecessor 3.9 still served: clients in the wild
 * send them, and even a refusal must be written in the version that was asked for.
 *
 * Joining is per version: below the lowest version of 4.4 the old descriptor tells which fields exist and which may be
 * null, from there on the new one does. Both tell the same story for a field in nearly every case; where the union of
 * the two is not one contiguous range the extractor stops instead of guessing.
 */
import {
  type ApiSchema,
  type FieldSchema,
  formatVersions,
  isIn,
  type MessageSchema,
  NO_VERSIONS,
  parseVersions,
  type RecordSchema,
  type StructSchema,
  type VersionRange,
} from "./schema.ts";

/** A descriptor as found in a jar, comments removed. Only what the extractor reads is typed. */
export interface Descriptor {
  readonly name: string;
  readonly type: string;
  readonly apiKey?: number;
  readonly listeners?: readonly string[];
  readonly validVersions: string;
  readonly flexibleVersions: string;
  readonly latestVersionUnstable?: boolean;
  readonly fields: readonly DescriptorField[];
  readonly commonStructs?: readonly {
    name: string;
    versions: string;
    fields: readonly DescriptorField[];
  }[];
}

interface DescriptorField {
  readonly name: string;
  readonly type: string;
  readonly versions?: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly tag?: number;
  readonly default?: string | number | boolean | null;
  readonly ignorable?: boolean;
  readonly mapKey?: boolean;
  readonly fields?: readonly DescriptorField[];
}

/** Parses a descriptor, which may carry whole-line comments. */
export function parseDescriptor(text: string): Descriptor {
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, "")) as Descriptor;
}

/** Joins request and response descriptors of every live API, with the older versions of `predecessors`. */
export function extractApis(
  descriptors: ReadonlyMap<string, Descriptor>,
  predecessors: ReadonlyMap<string, Descriptor>,
): ApiSchema[] {
  const apis: ApiSchema[] = [];
  for (const request of descriptors.values()) {
    if (request.type !== "request" || request.validVersions === "none") continue;
    const name = request.name.replace(/Request$/, "");
    const response = descriptors.get(`${name}Response`);
    if (response === undefined || request.apiKey === undefined) {
      throw new Error(`${name} has no response or no key`);
    }
    const served = parseVersions(request.validVersions);
    const oldRequest = olderVersions(request, predecessors.get(`${name}Request`));
    const oldResponse = oldRequest === null ? null : (predecessors.get(`${name}Response`) ?? null);
    const low = oldRequest === null ? served.low : parseVersions(oldRequest.validVersions).low;
    const valid: VersionRange = { low, high: served.high };
    apis.push({
      kind: "api",
      name,
      apiKey: request.apiKey,
      validVersions: formatVersions(valid),
      servedVersions: request.validVersions,
      flexibleVersions: request.flexibleVersions,
      listeners: request.listeners ?? [],
      ...(request.latestVersionUnstable === true ? { latestVersionUnstable: true } : {}),
      request: joinMessage(request, oldRequest, valid, served.low),
      response: joinMessage(response, oldResponse, valid, served.low),
    });
  }
  return apis.sort((one, other) => one.apiKey - other.apiKey);
}

/** Everything that is stored rather than sent. */
export function extractRecords(descriptors: ReadonlyMap<string, Descriptor>): RecordSchema[] {
  const records: RecordSchema[] = [];
  for (const descriptor of descriptors.values()) {
    const kind = descriptor.type;
    if (
      kind !== "metadata" &&
      kind !== "coordinator-key" &&
      kind !== "coordinator-value" &&
      kind !== "data"
    ) {
      continue;
    }
    const valid = parseVersions(descriptor.validVersions);
    records.push({
      kind,
      name: descriptor.name,
      ...(descriptor.apiKey === undefined ? {} : { apiKey: descriptor.apiKey }),
      validVersions: descriptor.validVersions,
      flexibleVersions: descriptor.flexibleVersions,
      message: joinMessage(descriptor, null, valid, valid.low),
    });
  }
  return records.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** The predecessor when it served stable versions below the current ones to clients; null otherwise. */
function olderVersions(current: Descriptor, old: Descriptor | undefined): Descriptor | null {
  if (old === undefined || old.latestVersionUnstable === true) return null;
  if (!(current.listeners ?? []).includes("broker")) return null;
  return parseVersions(old.validVersions).low < parseVersions(current.validVersions).low
    ? old
    : null;
}

/** Versions at which a field exists, looked up per version. */
type Facts = (
  field: DescriptorField | undefined,
  of: "versions" | "nullableVersions" | "taggedVersions",
) => VersionRange;

function joinMessage(
  current: Descriptor,
  old: Descriptor | null,
  valid: VersionRange,
  firstCurrent: number,
): MessageSchema {
  const facts: Facts = (field, of) =>
    field === undefined
      ? NO_VERSIONS
      : parseVersions(field[of] ?? (of === "versions" ? undefined : "none"));
  const fields = joinFields(current.fields, old?.fields ?? null, valid, firstCurrent, facts);
  const structs = current.commonStructs?.map((struct): StructSchema => {
    const before = old?.commonStructs?.find((candidate) => candidate.name === struct.name);
    return {
      name: struct.name,
      versions: struct.versions,
      fields: joinFields(struct.fields, before?.fields ?? null, valid, firstCurrent, facts),
    };
  });
  return {
    name: current.name,
    ...(structs === undefined ? {} : { commonStructs: structs }),
    fields,
  };
}

function joinFields(
  current: readonly DescriptorField[],
  old: readonly DescriptorField[] | null,
  valid: VersionRange,
  firstCurrent: number,
  facts: Facts,
): FieldSchema[] {
  const order = old === null ? current.map((field) => field.name) : mergedOrder(current, old);
  const joined: FieldSchema[] = [];
  for (const name of order) {
    const now = current.find((field) => field.name === name);
    const before = old?.find((field) => field.name === name);
    const field = now ?? before;
    if (field === undefined) continue;
    const range = (of: "versions" | "nullableVersions" | "taggedVersions"): string => {
      if (old === null) return field[of] ?? "none";
      return formatVersions(
        joinRange(facts(before, of), facts(now, of), valid, firstCurrent, `${name}.${of}`),
      );
    };
    if (now !== undefined && before !== undefined && now.type !== before.type) {
      throw new Error(`type of ${name} differs: ${before.type}, ${now.type}`);
    }
    const versions = range("versions");
    if (versions === "none") continue;
    const nullable = range("nullableVersions");
    const tagged = range("taggedVersions");
    const children =
      field.fields === undefined
        ? undefined
        : joinFields(
            now?.fields ?? [],
            old === null ? null : (before?.fields ?? []),
            valid,
            firstCurrent,
            facts,
          );
    joined.push({
      name,
      type: field.type,
      versions,
      ...(nullable === "none" ? {} : { nullableVersions: nullable }),
      ...(tagged === "none" ? {} : { taggedVersions: tagged, tag: field.tag ?? 0 }),
      // Kafka takes a bare null for "no default given"; the default null is written as text.
      ...(field.default === undefined || field.default === null
        ? {}
        : { default: String(field.default) }),
      ...(now?.ignorable === true || before?.ignorable === true ? { ignorable: true } : {}),
      ...(field.mapKey === true ? { mapKey: true } : {}),
      ...(children === undefined ? {} : { fields: children }),
    });
  }
  return joined;
}

/** Names in the order of `current`, with each name only `old` has placed after the one it followed there. */
function mergedOrder(
  current: readonly DescriptorField[],
  old: readonly DescriptorField[],
): string[] {
  const order = current.map((field) => field.name);
  old.forEach((field, index) => {
    if (order.includes(field.name)) return;
    const previous = old[index - 1]?.name;
    order.splice(previous === undefined ? 0 : order.indexOf(previous) + 1, 0, field.name);
  });
  return order;
}

/** The old facts below `firstCurrent`, the current ones from there on; an open end stays open. */
function joinRange(
  before: VersionRange,
  now: VersionRange,
  valid: VersionRange,
  firstCurrent: number,
  what: string,
): VersionRange {
  let low = Infinity;
  let high = -Infinity;
  let count = 0;
  for (let version = valid.low; version <= valid.high; version += 1) {
    if (!isIn(version < firstCurrent ? before : now, version)) continue;
    low = Math.min(low, version);
    high = version;
    count += 1;
  }
  if (count === 0) return NO_VERSIONS;
  if (high - low + 1 !== count) throw new Error(`${what} is not one range of versions`);
  return { low, high: high === valid.high && now.high === Infinity ? Infinity : high };
}
