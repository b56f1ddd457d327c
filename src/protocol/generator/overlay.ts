/**
 * Decisions the descriptors leave open.
 *
 * `BIGINT_FIELDS`: int64 fields that are names or opaque values. They decode to `bigint`, exactly. Every other int64 is
 * an offset, a time or a size and decodes to a saturating `number`.
 *
 * `CUT_FIELDS`: record bytes of responses, which an encoder may leave to the transport (`RecordsCut`).
 */

/** By field name: the same name means the same thing in every message. */
export const BIGINT_FIELDS: ReadonlySet<string> = new Set([
  "MetadataHash",
  "NextProducerId",
  "OngoingTxnProducerId",
  "PreviousProducerId",
  "ProducerId",
  "ProducerIdFilters",
  "ProducerIdStart",
  "ProducerIds",
  "V3AndBelowProducerId",
]);

/** By message and field name. */
export const CUT_FIELDS: ReadonlySet<string> = new Set([
  "FetchResponse.Records",
  "ShareFetchResponse.Records",
  "FetchSnapshotResponse.UnalignedRecords",
]);
