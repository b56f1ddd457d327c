/**
 * Every generated message by name, with its schema: what the golden, live, hostile and fuzz tests walk over.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { apiByKey } from "#protocol/apis.ts";
import type { MessageCodec, RecordMessages } from "#protocol/api.ts";
import {
  type ApiSchema,
  kebabCase,
  type MessageSchema,
  parseVersions,
  type RecordSchema,
} from "#protocol/generator/schema.ts";

/** A message with everything needed to exercise its codec. */
export interface TestedMessage {
  readonly name: string;
  readonly kind: "request" | "response" | RecordSchema["kind"];
  readonly schema: MessageSchema;
  readonly codec: MessageCodec<unknown>;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** Versions below this one come from the predecessor's descriptors. */
  readonly kafkaMinVersion: number;
  readonly flexibleVersions: string;
}

const PROTOCOL = join(import.meta.dirname, "../../src/protocol");

/** All messages, APIs first, each group in the order of its files. */
export async function loadMessages(): Promise<TestedMessage[]> {
  const messages: TestedMessage[] = [];
  for (const schema of readSchemas<ApiSchema>(join(PROTOCOL, "schema"))) {
    const api = apiByKey(schema.apiKey);
    if (api === undefined) throw new Error(`${schema.name} has no codecs`);
    const common = {
      minVersion: api.minVersion,
      maxVersion: api.maxVersion,
      kafkaMinVersion: parseVersions(schema.servedVersions).low,
      flexibleVersions: schema.flexibleVersions,
    };
    messages.push({
      ...common,
      name: schema.request.name,
      kind: "request",
      schema: schema.request,
      codec: api.request,
    });
    messages.push({
      ...common,
      name: schema.response.name,
      kind: "response",
      schema: schema.response,
      codec: api.response,
    });
  }
  for (const schema of readSchemas<RecordSchema>(join(PROTOCOL, "schema/records"))) {
    const isPair = schema.kind === "coordinator-key" || schema.kind === "coordinator-value";
    const file = kebabCase(isPair ? schema.name.replace(/(Key|Value)$/, "") : schema.name);
    const module = (await import(`${PROTOCOL}/generated/records/${file}.ts`)) as Record<string, unknown>;
    const codec = module[`${schema.name}Codec`] as RecordMessages<unknown>;
    messages.push({
      name: schema.name,
      kind: schema.kind,
      schema: schema.message,
      codec,
      minVersion: codec.minVersion,
      maxVersion: codec.maxVersion,
      kafkaMinVersion: codec.minVersion,
      flexibleVersions: schema.flexibleVersions,
    });
  }
  return messages;
}

function readSchemas<T>(directory: string): T[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith(".json") && file !== "error-codes.json")
    .sort()
    .map((file) => JSON.parse(readFileSync(join(directory, file), "utf8")) as T);
}
