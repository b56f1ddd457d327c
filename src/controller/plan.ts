/**
 * A decision of several steps: each is made on what the ones before it lead to, and all are one batch.
 */
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { DecisionInput } from "./decision.ts";

/** See the head of the file. */
export class Plan {
  readonly records: MetadataRecord[] = [];
  #input: DecisionInput;

  constructor(input: DecisionInput) {
    this.#input = input;
  }

  /** What the next step is decided on. */
  get input(): DecisionInput {
    return this.#input;
  }

  /** Adds a step. */
  add(records: readonly MetadataRecord[]): void {
    if (records.length === 0) return;
    const { image } = this.#input;
    const delta = new ClusterDelta(image);
    for (const record of records) {
      delta.replay(record);
      this.records.push(record);
    }
    const after = delta.apply(image.offset + records.length, image.epoch);
    this.#input = { ...this.#input, image: after };
  }
}
