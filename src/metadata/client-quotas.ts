/**
 * Client quotas as the metadata log has them: an entity is one to three kinds of clients, each by name or as the default of its
 * kind, and has a value for some of the quota keys. Stored and told; what enforces them reads them from the image.
 *
 * ```
 * { user: "anna", client-id: null }  →  { producer_byte_rate: 1048576, request_percentage: 50 }
 * ```
 *
 * @see KIP-546, KIP-612 (ip)
 */
import { makeClientQuotaRecord } from "#protocol/generated/records/client-quota-record.ts";
import type { ClientQuotaRecord } from "#protocol/generated/records/client-quota-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";

/** Kinds of clients a quota can be for. */
export const QuotaEntityType = { USER: "user", CLIENT_ID: "client-id", IP: "ip" } as const;

/** Whom quotas are for: name by kind; null stands for everybody of the kind who has no quota of his own. */
export type QuotaEntity = ReadonlyMap<string, string | null>;

/** The quotas of one entity. */
export interface ClientQuotaImage {
  readonly entity: QuotaEntity;
  /** By quota key; never empty. */
  readonly values: ReadonlyMap<string, number>;
}

/** Quotas by {@link quotaEntityKey}. */
export type ClientQuotas = ReadonlyMap<string, ClientQuotaImage>;

/** One entity, one key: the order of the kinds does not matter. */
export function quotaEntityKey(entity: QuotaEntity): string {
  return JSON.stringify([...entity].sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** What a filter asks of one kind: this name (null: the default), or any. */
export type QuotaMatch = { readonly name: string | null } | "any";

/** Entities that have every kind of the filter, and with `isStrict` no other. */
export function* matchingQuotas(
  quotas: ClientQuotas,
  filter: ReadonlyMap<string, QuotaMatch>,
  isStrict: boolean,
): Generator<ClientQuotaImage> {
  for (const quota of quotas.values()) {
    if (isStrict && quota.entity.size !== filter.size) continue;
    const isMatch = [...filter].every(([type, match]) => {
      const name = quota.entity.get(type);
      return name !== undefined && (match === "any" || match.name === name);
    });
    if (isMatch) yield quota;
  }
}

/** Changes of quotas on top of an image. */
export class ClientQuotasDelta {
  readonly #base: ClientQuotas;
  readonly #changed = new Map<string, { entity: QuotaEntity; values: Map<string, number> }>();

  constructor(base: ClientQuotas) {
    this.#base = base;
  }

  /** Adds the effect of one record. */
  replay({ entity: rows, key, value, remove }: ClientQuotaRecord): void {
    const entity: QuotaEntity = new Map(rows.map((row) => [row.entityType, row.entityName]));
    const entityKey = quotaEntityKey(entity);
    let changed = this.#changed.get(entityKey);
    if (changed === undefined) {
      changed = { entity, values: new Map(this.#base.get(entityKey)?.values) };
      this.#changed.set(entityKey, changed);
    }
    if (remove) changed.values.delete(key);
    else changed.values.set(key, value);
  }

  /** The quotas after every replayed record; an entity without values is gone. */
  apply(): ClientQuotas {
    if (this.#changed.size === 0) return this.#base;
    const quotas = new Map(this.#base);
    for (const [entityKey, changed] of this.#changed) {
      if (changed.values.size === 0) quotas.delete(entityKey);
      else quotas.set(entityKey, changed);
    }
    return quotas;
  }
}

/** The record that sets a quota, or takes it away where `value` is null. */
export function quotaEntry(entity: QuotaEntity, key: string, value: number | null): MetadataRecord {
  return {
    kind: "ClientQuotaRecord",
    record: makeClientQuotaRecord({
      entity: [...entity].map(([entityType, entityName]) => ({ entityType, entityName })),
      key,
      value: value ?? 0,
      remove: value === null,
    }),
  };
}
