/**
 * The flush policies under test, as data: what is configured, how producers ask, and what is promised. A strict policy loses nothing that was
 * acknowledged; of the others the loss is measured, and only what no policy may do (invent, reorder, leave holes) is a finding.
 */

/** One flush policy. */
export interface FlushPolicy {
  readonly name: string;
  readonly acks: 1 | -1;
  /** Broker settings over the defaults. */
  readonly overrides: Readonly<Record<string, string>>;
  /** Nothing acknowledged may be lost. */
  readonly isStrict: boolean;
  /** Committed offsets and created topics are promised too; real Kafka's are not by default. */
  readonly isMetadataStrict: boolean;
}

function policy(
  name: string,
  acks: 1 | -1,
  isStrict: boolean,
  overrides: Record<string, string> = {},
): FlushPolicy {
  return { name, acks, overrides, isStrict, isMetadataStrict: true };
}

/** Ours, the default first. */
export const POLICIES: readonly FlushPolicy[] = [
  policy("all", -1, true),
  policy("all-two-threads", -1, true, { "num.network.threads": "2" }),
  policy("one", 1, false),
  {
    ...policy("all-unsynced", -1, false, { "sluice.acks.all.fsync": "false" }),
    isMetadataStrict: false,
  },
  policy("one-every-message", 1, true, { "log.flush.interval.messages": "1" }),
  policy("one-every-500-ms", 1, false, {
    "log.flush.interval.ms": "500",
    "log.flush.scheduler.interval.ms": "100",
  }),
];

/** Real Kafka's, to stand beside. */
export const KAFKA_POLICIES: readonly FlushPolicy[] = [
  { ...policy("kafka-default", -1, false), isMetadataStrict: false },
  {
    ...policy("kafka-every-message", -1, false, { "log.flush.interval.messages": "1" }),
    isMetadataStrict: false,
  },
];
