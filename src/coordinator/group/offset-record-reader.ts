/**
 * Reads a stored offset commit straight from the log's bytes: nearly all records of `__consumer_offsets` are of this one kind and of
 * the versions that Kafka has written since 2.1, and loading is as fast as these are read.
 *
 * ```
 * key    1 int16 | group, topic string | partition int32
 * value  2: offset int64 | metadata string | commit timestamp int64
 *        3: offset int64 | leader epoch int32 | metadata string | commit timestamp int64
 *        4: as 3, compact string, tagged topic id (tag 0)
 * ```
 * Everything else is left to `record-codec.ts`. @see KIP-320, KIP-848
 */
import { TextTable } from "#common/text-table.ts";
import { uuidFromBytes, ZERO_UUID } from "#common/uuid.ts";
import { decodeText, Reader } from "#protocol/codec/reader.ts";
import type { StoredRecord } from "#protocol/records/record-walk.ts";

const OFFSET_COMMIT = 1;
const UUID_BYTES = 16;
const TOPIC_ID_TAG = 0;

/** The last record read; strings that repeat are shared. */
export class OffsetRecordReader {
  groupId = "";
  topic = "";
  partition = 0;
  isTombstone = false;
  offset = 0;
  leaderEpoch = -1;
  metadata = "";
  commitTimestampMs = 0;
  topicId: string = ZERO_UUID;
  readonly #reader = new Reader(new Uint8Array(0));
  readonly #names = new TextTable(decodeText);
  readonly #topicIds = new Map<string, { readonly bytes: Uint8Array; readonly id: string }>();

  /** True when `record` is an offset commit in one of the versions above and was read; false: nothing is known of it. */
  read(record: StoredRecord): boolean {
    const { bytes, keyStart, keyEnd, valueStart, valueEnd } = record;
    const reader = this.#reader;
    if (keyEnd < 0) return false;
    reader.reset(bytes, keyStart, keyEnd);
    if (reader.int16() !== OFFSET_COMMIT) return false;
    this.groupId = this.#text(reader.int16());
    this.topic = this.#text(reader.int16());
    this.partition = reader.int32();
    if (reader.failure !== null) return false;
    this.isTombstone = valueEnd < 0;
    if (valueEnd < 0) return true;
    reader.reset(bytes, valueStart, valueEnd);
    const version = reader.int16();
    if (version < 2 || version > 4) return false;
    this.offset = reader.int64();
    this.leaderEpoch = version >= 3 ? reader.int32() : -1;
    this.metadata = this.#text(version >= 4 ? reader.unsignedVarint() - 1 : reader.int16());
    this.commitTimestampMs = reader.int64();
    this.topicId = ZERO_UUID;
    if (version >= 4) this.#readTags();
    return reader.failure === null;
  }

  #text(length: number): string {
    const reader = this.#reader;
    if (length === 0) return "";
    if (length < 0) {
      reader.fail("string that must not be null is null");
      return "";
    }
    const start = reader.position;
    reader.skip(length);
    if (reader.failure !== null) return "";
    return this.#names.intern(reader.bytes, start, start + length);
  }

  #readTags(): void {
    const reader = this.#reader;
    for (let count = reader.tagCount(); count > 0 && reader.failure === null; count--) {
      const tag = reader.unsignedVarint();
      const size = reader.unsignedVarint();
      const start = reader.position;
      reader.skip(size);
      if (tag !== TOPIC_ID_TAG || reader.failure !== null) continue;
      if (size !== UUID_BYTES) reader.fail("topic id is not an id");
      else this.topicId = this.#topicIdAt(reader.bytes, start);
    }
  }

  /** The id at `start`; that of the same topic in an earlier record is the same string. */
  #topicIdAt(bytes: Uint8Array, start: number): string {
    const known = this.#topicIds.get(this.topic);
    if (known !== undefined && isSameId(known.bytes, bytes, start)) return known.id;
    const id = uuidFromBytes(bytes, start);
    this.#topicIds.set(this.topic, { bytes: bytes.slice(start, start + UUID_BYTES), id });
    return id;
  }
}

function isSameId(id: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < UUID_BYTES; index++) {
    if (id[index] !== bytes[start + index]) return false;
  }
  return true;
}
