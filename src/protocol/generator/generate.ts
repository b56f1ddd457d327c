/**
 * All generated files from all schemas, as texts by path. Pure, so that the staleness test can call it.
 */
import { banner, emitApi, emitRecords } from "./emit.ts";
import { errorText } from "./error-texts.ts";
import { type ApiSchema, kebabCase, parseVersions, type RecordSchema } from "./schema.ts";

/** The way from `generated/records/` to `src/protocol/`. */
const FROM_RECORDS = "../..";

/** An entry of `schema/error-codes.json`. */
export interface ErrorSchema {
  readonly code: number;
  readonly name: string;
  readonly isRetriable: boolean;
}

/** What `schema/` holds. */
export interface Schemas {
  /** By key. */
  readonly apis: readonly ApiSchema[];
  readonly records: readonly RecordSchema[];
  readonly errors: readonly ErrorSchema[];
}

/** Texts before formatting, by path from the project's root. */
export function generateAll(schemas: Schemas): Map<string, string> {
  const files = new Map<string, string>();
  for (const api of schemas.apis) {
    files.set(`src/protocol/generated/${kebabCase(api.name)}.ts`, emitApi(api));
  }
  const groups = recordGroups(schemas.records);
  for (const [name, records] of groups) {
    files.set(`src/protocol/generated/records/${kebabCase(name)}.ts`, emitRecords(records));
  }
  files.set("src/protocol/generated/api-table.ts", emitApiTable(schemas.apis));
  files.set(
    "src/protocol/generated/records/metadata-record-table.ts",
    emitMetadataTable(schemas.records),
  );
  files.set(
    "src/protocol/generated/records/coordinator-record-table.ts",
    emitCoordinatorTable(groups),
  );
  files.set("src/common/error-code.ts", emitErrors(schemas.errors));
  files.set("docs/reference/api-versions.md", emitReference(schemas.apis));
  return files;
}

/** Records by file: the key and the value of a coordinator record belong together. */
function recordGroups(records: readonly RecordSchema[]): Map<string, RecordSchema[]> {
  const groups = new Map<string, RecordSchema[]>();
  for (const record of records) {
    const isPart = record.kind === "coordinator-key" || record.kind === "coordinator-value";
    const name = isPart ? record.name.replace(/(Key|Value)$/, "") : record.name;
    groups.set(name, [...(groups.get(name) ?? []), record]);
  }
  return groups;
}

function emitApiTable(apis: readonly ApiSchema[]): string {
  const rows = apis.map((api) => {
    const valid = parseVersions(api.validVersions);
    const served = parseVersions(api.servedVersions);
    const flexible = parseVersions(api.flexibleVersions);
    const firstFlexible = flexible.low > flexible.high ? "Infinity" : flexible.low;
    return `[${api.apiKey}, { key: ${api.apiKey}, name: "${api.name}", minVersion: ${valid.low}, maxVersion: ${valid.high}, kafkaMinVersion: ${served.low}, firstFlexibleVersion: ${firstFlexible}, isLatestVersionUnstable: ${api.latestVersionUnstable === true}, listeners: ${JSON.stringify(api.listeners)} }],`;
  });
  const cases = apis.map((api) => {
    const file = `./${kebabCase(api.name)}.ts`;
    return `case ${api.apiKey}: return (require("${file}") as typeof import("${file}")).${api.name}Api;`;
  });
  return `${banner(`/**
 * Every API by key: its versions, and its codecs, which are loaded when first asked for.
 */`)}
import type { ApiMessages } from "../api.ts";

/** What is known of an API without loading its codecs. */
export interface ApiVersionInfo {
  readonly key: number;
  readonly name: string;
  /** Lowest and highest version with codecs. */
  readonly minVersion: number;
  readonly maxVersion: number;
  /** Lowest version Kafka 4.4 itself still serves. */
  readonly kafkaMinVersion: number;
  /** \`Infinity\` when the API never became flexible. */
  readonly firstFlexibleVersion: number;
  readonly isLatestVersionUnstable: boolean;
  /** "broker", "controller". */
  readonly listeners: readonly string[];
}

/** By key, ascending. */
export const API_VERSIONS: ReadonlyMap<number, ApiVersionInfo> = new Map<number, ApiVersionInfo>([
${rows.join("\n")}
]);

// Each API has messages of its own types; who needs them typed imports the API's own file.
type AnyApiMessages = ApiMessages<unknown, unknown>;

/** Codecs of an API, or undefined for a key that is unknown or no longer served. */
export function apiByKey(key: number): AnyApiMessages | undefined {
  return loadApi(key) as AnyApiMessages | undefined;
}

function loadApi(key: number): unknown {
  switch (key) {
${cases.join("\n")}
default: return undefined;
  }
}
`;
}

function emitMetadataTable(records: readonly RecordSchema[]): string {
  const metadata = records
    .filter((record) => record.kind === "metadata" && !isRemoteStorage(record))
    .sort((one, other) => (one.apiKey ?? 0) - (other.apiKey ?? 0));
  const names = metadata.map((record) => record.name);
  const importLines = names
    .map((name) => `import { type ${name}, ${name}Codec } from "./${kebabCase(name)}.ts";`)
    .join("\n");
  return `${banner(`/**
 * Records of the cluster metadata log by type, as one discriminated union.
 */`)}
import type { RecordMessages } from "${FROM_RECORDS}/api.ts";
${importLines}

/** A metadata record with the name of its type. */
export type MetadataRecord =
${names.map((name) => `| { readonly kind: "${name}"; readonly record: ${name} }`).join("\n")};

/** Name of a metadata record type. */
export type MetadataRecordKind = MetadataRecord["kind"];

/** Codec of each kind. */
export const METADATA_CODECS: { readonly [K in MetadataRecordKind]: RecordMessages<Extract<MetadataRecord, { kind: K }>["record"]> } = {
${names.map((name) => `${name}: ${name}Codec,`).join("\n")}
};

/** Kind of each record type number, or undefined. */
export function metadataRecordKind(type: number): MetadataRecordKind | undefined {
  switch (type) {
${metadata.map((record) => `case ${record.apiKey}: return "${record.name}";`).join("\n")}
default: return undefined;
  }
}
`;
}

/** Records of the remote storage topic carry types of their own, outside the cluster metadata log. */
function isRemoteStorage(record: RecordSchema): boolean {
  return record.name.startsWith("Remote");
}

const COORDINATORS: ReadonlyMap<string, RegExp> = new Map([
  ["Transaction", /^TransactionLog/],
  ["Share", /^Share(Snapshot|Update)/],
  ["Group", /./],
]);

function coordinatorOf(name: string): string {
  for (const [coordinator, pattern] of COORDINATORS) if (pattern.test(name)) return coordinator;
  return "Group";
}

function emitCoordinatorTable(groups: ReadonlyMap<string, readonly RecordSchema[]>): string {
  const pairs = [...groups].filter(([, records]) =>
    records.some((record) => record.kind === "coordinator-key"),
  );
  const importLines = pairs
    .map(
      ([name]) =>
        `import { type ${name}Key, ${name}KeyCodec, type ${name}Value, ${name}ValueCodec } from "./${kebabCase(name)}.ts";`,
    )
    .join("\n");
  const sections: string[] = [];
  for (const coordinator of ["Group", "Transaction", "Share"]) {
    const own = pairs
      .filter(([name]) => coordinatorOf(name) === coordinator)
      .sort((one, other) => (one[1][0]?.apiKey ?? 0) - (other[1][0]?.apiKey ?? 0));
    sections.push(`/** A record of the ${coordinator.toLowerCase()} coordinator's log; a null value is a tombstone. */
export type ${coordinator}CoordinatorRecord =
${own.map(([name]) => `| { readonly kind: "${name}"; readonly key: ${name}Key; readonly value: ${name}Value | null }`).join("\n")};

/** Codecs of the ${coordinator.toLowerCase()} coordinator's records by the type that starts their key. */
export const ${coordinator.toUpperCase()}_COORDINATOR_CODECS: ReadonlyMap<number, CoordinatorCodecs> = new Map<number, CoordinatorCodecs>([
${own.map(([name, records]) => `[${records[0]?.apiKey}, { kind: "${name}", key: ${name}KeyCodec as AnyRecordMessages, value: ${name}ValueCodec as AnyRecordMessages }],`).join("\n")}
]);`);
  }
  return `${banner(`/**
 * Records of the coordinators' logs by type, as discriminated unions.
 */`)}
import type { RecordMessages } from "${FROM_RECORDS}/api.ts";
${importLines}

// The tables hold codecs of many message types; the unions above pair each kind with its types.
type AnyRecordMessages = RecordMessages<unknown>;

/** Codecs of one coordinator record. */
export interface CoordinatorCodecs {
  readonly kind: string;
  readonly key: AnyRecordMessages;
  readonly value: AnyRecordMessages;
}

${sections.join("\n\n")}
`;
}

function emitErrors(errors: readonly ErrorSchema[]): string {
  const sorted = [...errors].sort((one, other) => one.code - other.code);
  return `${banner(`/**
 * Every error code of the protocol: its number, its name, whether a client may try again, and what it means.
 */`)}
/** Error codes by name. */
export const ErrorCode = {
${sorted.map((error) => `/** ${errorText(error.name)} */\n  ${error.name}: ${error.code},`).join("\n")}
} as const;

/** One of the protocol's error codes. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What is known of an error code. */
export interface ErrorInfo {
  readonly name: string;
  readonly isRetriable: boolean;
  readonly description: string;
}

const INFO: readonly (readonly [name: keyof typeof ErrorCode, isRetriable: boolean, description: string])[] = [
${sorted.map((error) => `["${error.name}", ${error.isRetriable}, ${JSON.stringify(errorText(error.name))}],`).join("\n")}
];

/** Describes \`code\`; a code outside the table answers as UNKNOWN_SERVER_ERROR, as clients take it. */
export function errorInfo(code: number): ErrorInfo {
  const [name, isRetriable, description] = INFO[code + 1] ?? INFO[0]!;
  return { name, isRetriable, description };
}
`;
}

function emitReference(apis: readonly ApiSchema[]): string {
  const rows = apis.map((api) => {
    const served = api.servedVersions === api.validVersions ? "" : api.servedVersions;
    const flexible = api.flexibleVersions === "none" ? "–" : api.flexibleVersions;
    const note = api.latestVersionUnstable === true ? "latest version unstable" : "";
    return `| ${api.apiKey} | ${api.name} | ${api.validVersions} | ${served} | ${flexible} | ${api.listeners.join(", ")} | ${note} |`;
  });
  return `<!-- Generated by src/protocol/generator from src/protocol/schema. Do not edit. -->

# API versions

Versions for which request and response codecs exist. What a broker serves, and so what it advertises in ApiVersions, is
decided by its handler table and never reaches further than this. Where Kafka 4.4 serves fewer versions, its range is given.

| Key | API | Codecs | Kafka 4.4 | Flexible | Listeners | Note |
| --: | --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}
