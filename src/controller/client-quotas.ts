/**
 * Decisions on client quotas: whom they may be for, and which values they may have.
 *
 * @see KIP-546, KIP-612 (ip), KIP-599 (controller_mutation_rate)
 */
import { ErrorCode } from "#common/error-code.ts";
import { isIpAddress } from "#common/ip-address.ts";
import { quotaEntityKey, QuotaEntityType, quotaEntry } from "#metadata/client-quotas.ts";
import type { QuotaEntity } from "#metadata/client-quotas.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";

/** One key of an entity: its new value, or null to take it away. */
export interface QuotaOp {
  readonly key: string;
  readonly value: number | null;
}

/** What is to become of the quotas of one entity. */
export interface QuotaChange {
  readonly entity: QuotaEntity;
  readonly ops: readonly QuotaOp[];
}

/** What became of it. */
export interface QuotaOutcome extends Refusal {
  readonly entity: QuotaEntity;
}

interface QuotaKey {
  /** Fractions are refused unless true. */
  readonly isFraction: boolean;
  readonly max: number;
  /** What Kafka calls the type, for the sentence about a value that is too large. */
  readonly typeName: string;
}

const LONG: QuotaKey = { isFraction: false, max: 2 ** 63, typeName: "a LONG" };
const INT: QuotaKey = { isFraction: false, max: 2 ** 31 - 1, typeName: "an INT" };
const DOUBLE: QuotaKey = { isFraction: true, max: Infinity, typeName: "a DOUBLE" };

const CLIENT_KEYS: ReadonlyMap<string, QuotaKey> = new Map([
  ["producer_byte_rate", LONG],
  ["consumer_byte_rate", LONG],
  ["request_percentage", DOUBLE],
  ["controller_mutation_rate", DOUBLE],
]);
const IP_KEYS: ReadonlyMap<string, QuotaKey> = new Map([["connection_creation_rate", INT]]);

/** A value this close to a whole number is one. */
const FRACTION_TOLERANCE = 1e-6;

const TYPES: readonly string[] = Object.values(QuotaEntityType);
const { USER, CLIENT_ID, IP } = QuotaEntityType;

const NO_REFUSAL: Refusal = { errorCode: ErrorCode.NONE, errorMessage: null };

/**
 * Decides AlterClientQuotas: each entity by itself, all of its keys or none. An entity that is named twice is refused, and answered
 * once. With `validateOnly` the answer is the same and there are no records.
 */
export function decideClientQuotas(
  changes: readonly QuotaChange[],
  validateOnly: boolean,
  input: DecisionInput,
): Decision<readonly QuotaOutcome[]> {
  const byEntity = new Map<string, { readonly change: QuotaChange; isRepeated: boolean }>();
  for (const change of changes) {
    const key = quotaEntityKey(change.entity);
    const known = byEntity.get(key);
    const hasRepeatedKey = new Set(change.ops.map((op) => op.key)).size < change.ops.length;
    if (known === undefined) byEntity.set(key, { change, isRepeated: hasRepeatedKey });
    else known.isRepeated = true;
  }
  const outcomes: QuotaOutcome[] = [];
  const records: MetadataRecord[] = [];
  for (const [key, { change, isRepeated }] of byEntity) {
    const { entity, ops } = change;
    const refusal = isRepeated
      ? invalid(`Ignoring duplicate entity ${describeEntity(entity)}`)
      : (entityRefusal(entity) ?? opsRefusal(entity, ops));
    outcomes.push({ entity, ...(refusal ?? NO_REFUSAL) });
    if (refusal !== null) continue;
    const current = input.image.clientQuotas.get(key)?.values;
    for (const { key: name, value } of ops) {
      if ((current?.get(name) ?? null) !== value) records.push(quotaEntry(entity, name, value));
    }
  }
  if (records.length > MAX_RECORDS_PER_REQUEST) {
    return { response: refuseClientQuotas(changes, EXCESSIVE_BATCH), records: [] };
  }
  return { response: outcomes, records: validateOnly ? [] : records };
}

/** Answers every entity of a request the same way. */
export function refuseClientQuotas(
  changes: readonly QuotaChange[],
  refusal: Refusal,
): readonly QuotaOutcome[] {
  return changes.map(({ entity }) => ({ entity, ...refusal }));
}

function invalid(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}

/** As Kafka prints it. */
function describeEntity(entity: QuotaEntity): string {
  const parts = [IP, CLIENT_ID, USER]
    .filter((type) => entity.has(type))
    .map((type) => `${type}=${entity.get(type) ?? "null"}`);
  return `ClientQuotaEntity(entries={${parts.join(", ")}})`;
}

function entityRefusal(entity: QuotaEntity): Refusal | null {
  if (entity.size === 0) return invalid("Invalid empty client quota entity");
  for (const [type, name] of entity) {
    if (!TYPES.includes(type)) return invalid(`Unhandled client quota entity type: ${type}`);
    if (name === "") return invalid(`Empty ${type} not supported`);
  }
  const ip = entity.get(IP);
  if (ip === undefined) return null;
  if (entity.size > 1) {
    return invalid(
      "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
    );
  }
  return ip === null || ip === "localhost" || isIpAddress(ip)
    ? null
    : invalid(`${ip} is not a valid IP or resolvable host.`);
}

function opsRefusal(entity: QuotaEntity, ops: readonly QuotaOp[]): Refusal | null {
  const keys = entity.has(IP) ? IP_KEYS : CLIENT_KEYS;
  for (const { key, value } of ops) {
    // What is not there can be taken away.
    if (value === null) continue;
    const definition = keys.get(key);
    if (definition === undefined) return invalid(`Invalid configuration key ${key}`);
    if (!Number.isFinite(value)) return invalid(`Quota ${key} must be a finite number`);
    if (value <= 0) return invalid(`Quota ${key} must be greater than 0`);
    if (value > definition.max) {
      return invalid(`Proposed value for ${key} is too large for ${definition.typeName}.`);
    }
    if (!definition.isFraction && value % 1 > FRACTION_TOLERANCE) {
      return invalid(`${key} cannot be a fractional value.`);
    }
  }
  return null;
}
