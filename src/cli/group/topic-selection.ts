/** What `--topic` may say: `orders`, or some partitions of it, `orders:0,2` or `orders:0-3`. */
import { UsageError } from "../failure.ts";

/** Partitions by topic; null for all of a topic. */
export type TopicSelection = ReadonlyMap<string, readonly number[] | null>;

const MAX_PARTITION = 0x7f_ff_ff_ff;
/** A range that names more partitions than any topic has is a mistake. */
const MAX_SELECTED = 1_000_000;

/** Reads every `--topic`; a topic given twice has the partitions of both. */
export function parseTopicSelection(texts: readonly string[]): TopicSelection {
  const selection = new Map<string, readonly number[] | null>();
  for (const text of texts) {
    const colon = text.indexOf(":");
    const topic = colon < 0 ? text : text.slice(0, colon);
    if (topic === "") throw wrong(text);
    const partitions = colon < 0 ? null : parsePartitions(text, text.slice(colon + 1));
    const known = selection.get(topic);
    const isAll = partitions === null || known === null;
    selection.set(topic, isAll ? null : [...new Set([...(known ?? []), ...partitions])]);
  }
  return selection;
}

function parsePartitions(whole: string, text: string): readonly number[] {
  const partitions: number[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part);
    if (match === null) throw wrong(whole);
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first || last > MAX_PARTITION || last - first >= MAX_SELECTED) throw wrong(whole);
    for (let partition = first; partition <= last; partition++) partitions.push(partition);
  }
  return partitions;
}

function wrong(text: string): UsageError {
  return new UsageError(
    `--topic wants TOPIC or TOPIC:PARTITIONS such as orders:0,2, not '${text}'`,
  );
}
