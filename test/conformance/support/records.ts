/**
 * What goes through a broker in these tests, and how it is judged when it comes out. Every record of a topic carries its own timestamp, so
 * that a consumed record names the produced one it must equal byte for byte; clients that cannot give timestamps are matched by value.
 * Clients differ in what they can express (a null header value, two headers of one name): those limits are data here, applied to what
 * is produced or to both sides of a comparison, so that nothing a client *can* carry goes unchecked.
 */

/** A record as the command protocol carries it: bytes as base64, null as null. */
export interface WantedRecord {
  /** Where it must go; null leaves the choice to the client's partitioner. */
  readonly partition: number | null;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string | null])[];
}

/** A record as a client gave it back. */
export interface FoundRecord extends WantedRecord {
  readonly partition: number;
  readonly offset: number;
}

/** What a client cannot do or express; see the table in ../README.md. */
export type Limit =
  | "nullHeaderValue"
  | "noDuplicateHeader"
  | "headersSorted"
  | "emptyReadAsNull"
  | "noIdempotence"
  | "noGroup"
  | "noAssign"
  | "noPartitioner"
  | "noTimestamp"
  | "textOnly"
  | "noNullHeaderRead"
  | "noEmptyRecord"
  | "commitsPositions"
  | "bareSnappy";

export const PARTITIONS = 3;
const BASE_TIMESTAMP = 1_750_000_000_000;
const LARGE_BYTES = 500_000;

const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64");

/** Bytes that no codec makes smaller: a linear congruential generator with a fixed seed. */
function noise(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = seed >>> 0;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}

/**
 * The records of one produce call. `batch` numbers the call within its topic, which keeps timestamps and values apart. Special cases
 * come first, then `count` ordinary keyed records.
 */
export function recordSet(
  batch: number,
  count: number,
  limits: ReadonlySet<Limit>,
): WantedRecord[] {
  const records: WantedRecord[] = [];
  const add = (
    key: Uint8Array | string | null,
    value: Uint8Array | string | null,
    headers: readonly (readonly [string, Uint8Array | string | null])[] = [],
    partition: number | null = null,
  ): void => {
    const at = records.length;
    records.push({
      partition: partition ?? (limits.has("noPartitioner") ? placeFor(key) : null),
      timestamp: BASE_TIMESTAMP + batch * 100_000 + at * 3,
      key: key === null ? null : base64(key),
      value: value === null ? null : base64(value),
      headers: headers.map(([name, bytes]) => [name, bytes === null ? null : base64(bytes)]),
    });
  };
  add("first", `batch ${batch} begins`, [
    ["source", "conformance"],
    ["empty", ""],
  ]);
  add(null, `batch ${batch} without a key`);
  add(`ключ-${batch}-鍵-🔑`, `значение ${batch} · 値 · 🎏`, [["имя", "значение"]]);
  if (!limits.has("textOnly")) {
    const all = Uint8Array.from({ length: 256 }, (_, at) => at);
    add(all, noise(1_000, batch + 1), [["binary", all]]);
    add(`tombstone-${batch}`, null, [["why", "gone"]]);
    add(`empty-${batch}`, "");
    add("", `batch ${batch} with an empty key`);
    if (!limits.has("noEmptyRecord")) add(null, null);
    add(
      `large-${batch}`,
      batch % 2 === 0 ? noise(LARGE_BYTES, batch) : Buffer.alloc(LARGE_BYTES, `large ${batch} `),
    );
    if (!limits.has("nullHeaderValue"))
      add("null-header", `batch ${batch} null header`, [["none", null]]);
    if (!limits.has("noDuplicateHeader")) {
      add("two-headers", `batch ${batch} two headers`, [
        ["twice", "one"],
        ["twice", "two"],
        ["once", "three"],
      ]);
    }
  }
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    add(`placed-${batch}`, `batch ${batch} placed in ${partition}`, [], partition);
  }
  for (let at = 0; at < count; at += 1)
    add(`key-${at % 7}`, `batch ${batch} record ${at} ${"·".repeat(at % 40)}`);
  return records;
}

const placeFor = (key: Uint8Array | string | null): number =>
  key === null || key.length === 0 ? 0 : (murmur2(Buffer.from(key)) & 0x7fffffff) % PARTITIONS;

/** Java's murmur2, the hash behind its default partitioner. */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let hash = 0x9747b28c ^ bytes.length;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    let word = Math.imul(view.getInt32(at, true), multiplier);
    word ^= word >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  let tail = 0;
  for (let left = bytes.length - at; left > 0; left -= 1)
    tail = (tail << 8) | (bytes[at + left - 1] ?? 0);
  if (at < bytes.length) hash = Math.imul(hash ^ tail, multiplier);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  return hash ^ (hash >>> 15);
}

/** A record in the one form in which both sides are compared, after what the clients concerned cannot tell apart is made equal. */
function comparable(record: WantedRecord, limits: ReadonlySet<Limit>): string {
  const blank = (text: string | null): string | null =>
    limits.has("emptyReadAsNull") && text === "" ? null : text;
  let headers = record.headers.map(([name, value]): [string, string | null] => [
    name,
    limits.has("nullHeaderValue") && value === null ? blank("") : blank(value),
  ]);
  if (limits.has("noDuplicateHeader")) headers = [...new Map(headers)];
  if (limits.has("headersSorted")) headers.sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([blank(record.key), blank(record.value), headers]);
}

const short = (text: string): string =>
  text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text;

/**
 * Judges consumed records against produced ones (both of one topic, the produced in the order of producing): each exactly once, equal bytes and
 * timestamps, in order within its partition. Returns what is wrong, at most ten findings; none means equal.
 */
export function compareRecords(
  wanted: readonly WantedRecord[],
  found: readonly FoundRecord[],
  limits: ReadonlySet<Limit>,
): string[] {
  const problems: string[] = [];
  const identity = (record: WantedRecord): string =>
    limits.has("noTimestamp") ? comparable(record, limits) : String(record.timestamp);
  const places = new Map(wanted.map((record, at) => [identity(record), at]));
  if (places.size !== wanted.length) throw new Error("the produced records cannot be told apart");
  const seen = new Set<number>();
  const last = new Map<number, { at: number; offset: number }>();
  for (const record of found) {
    const at = places.get(identity(record));
    const produced = at === undefined ? undefined : wanted[at];
    if (at === undefined || produced === undefined) {
      problems.push(`unknown record ${short(JSON.stringify(record))}`);
      continue;
    }
    if (seen.has(at)) problems.push(`record ${at} twice, at offset ${record.offset}`);
    seen.add(at);
    const [left, right] = [comparable(produced, limits), comparable(record, limits)];
    if (left !== right)
      problems.push(`record ${at} differs: produced ${short(left)}, consumed ${short(right)}`);
    if (produced.partition !== null && produced.partition !== record.partition) {
      problems.push(
        `record ${at} meant for partition ${produced.partition} is in ${record.partition}`,
      );
    }
    const before = last.get(record.partition);
    if (before !== undefined && (before.at >= at || before.offset >= record.offset)) {
      problems.push(
        `partition ${record.partition}: record ${at} at ${record.offset} after record ${before.at} at ${before.offset}`,
      );
    }
    last.set(record.partition, { at, offset: record.offset });
  }
  for (let at = 0; at < wanted.length; at += 1) {
    const record = wanted[at];
    if (!seen.has(at) && record !== undefined)
      problems.push(`record ${at} is missing: ${short(comparable(record, limits))}`);
  }
  return problems.length > 10
    ? [...problems.slice(0, 10), `and ${problems.length - 10} more`]
    : problems;
}

/** Keys of records without a chosen partition that are in more than one, or (`isMurmur2`) not where Java would put them. */
export function comparePlaces(
  wanted: readonly WantedRecord[],
  found: readonly FoundRecord[],
  isMurmur2: boolean,
): string[] {
  const chosen = new Set(
    wanted.filter(({ partition }) => partition !== null).map(({ timestamp }) => timestamp),
  );
  const chosenValues = new Set(
    wanted.filter(({ partition }) => partition !== null).map(({ value }) => value),
  );
  const homes = new Map<string, number>();
  const problems: string[] = [];
  for (const record of found) {
    if (record.key === null || record.key === "") continue;
    if (chosen.has(record.timestamp) || chosenValues.has(record.value)) continue;
    const key = Buffer.from(record.key, "base64");
    const home = homes.get(record.key) ?? record.partition;
    homes.set(record.key, home);
    if (home !== record.partition)
      problems.push(`key ${key.toString()} is in partitions ${home} and ${record.partition}`);
    const java = (murmur2(key) & 0x7fffffff) % PARTITIONS;
    if (isMurmur2 && java !== record.partition)
      problems.push(`key ${key.toString()} is in ${record.partition}, Java puts it in ${java}`);
  }
  return problems.slice(0, 10);
}
