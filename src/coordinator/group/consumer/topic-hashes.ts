/**
 * The number by which a group notices that the topics it reads have changed (KIP-1101): a hash over id, name, partitions and racks of
 * each, stored with the group's epoch. It must be Kafka's, or a group that moves between brokers would rebalance for nothing.
 *
 * ```
 * topic   0 int8 · id 16 bytes, each half little-endian · name · partition count int32 · for each partition: its number int32,
 *         for each of its racks in order: length int32 · rack
 * text    UTF-16 units, little-endian · number of units int32
 * group   hashes of its topics, int64, by name; no topics: 0
 * ```
 * All integers little-endian, hashed with XXH3-64.
 */
import { UUID_BYTES, uuidToBytes } from "#common/uuid.ts";
import type { TopicLookup } from "../topic-lookup.ts";

/** XXH3-64 of bytes, unsigned. */
export type Xxh3 = (bytes: Uint8Array) => bigint;

/** Hashes of topics, remembered while the topics stay as they are. */
export class TopicHashes {
  readonly #topics: TopicLookup;
  readonly #xxh3: Xxh3;
  readonly #known = new Map<string, bigint | null>();
  #version = -1;

  constructor(topics: TopicLookup, xxh3: Xxh3) {
    this.#topics = topics;
    this.#xxh3 = xxh3;
  }

  /** Hash over those of the topics that exist. */
  ofGroup(names: Iterable<string>): bigint {
    const hashes: bigint[] = [];
    for (const name of [...names].sort()) {
      const hash = this.#ofTopic(name);
      if (hash !== null) hashes.push(hash);
    }
    if (hashes.length === 0) return 0n;
    const bytes = new DataView(new ArrayBuffer(8 * hashes.length));
    hashes.forEach((hash, index) => bytes.setBigInt64(8 * index, hash, true));
    return this.#hash(new Uint8Array(bytes.buffer));
  }

  #ofTopic(name: string): bigint | null {
    const version = this.#topics.topicsVersion();
    if (version !== this.#version) {
      this.#version = version;
      this.#known.clear();
    }
    let hash = this.#known.get(name);
    if (hash === undefined) {
      hash = this.#compute(name);
      this.#known.set(name, hash);
    }
    return hash;
  }

  #compute(name: string): bigint | null {
    const id = this.#topics.idOf(name);
    const count = this.#topics.partitionCount(name);
    if (id === undefined || count === undefined) return null;
    const racks = Array.from({ length: count }, (_, partition) =>
      [...this.#topics.racks(name, partition)].sort(),
    );
    const rackBytes = racks.flat().reduce((sum, rack) => sum + 8 + 2 * rack.length, 0);
    const writer = new HashWriter(1 + UUID_BYTES + textBytes(name) + 4 + 4 * count + rackBytes);
    writer.int8(0);
    writer.uuid(id);
    writer.text(name);
    writer.int32(count);
    racks.forEach((ofPartition, partition) => {
      writer.int32(partition);
      for (const rack of ofPartition) {
        writer.int32(rack.length);
        writer.text(rack);
      }
    });
    return this.#hash(writer.bytes);
  }

  #hash(bytes: Uint8Array): bigint {
    return BigInt.asIntN(64, this.#xxh3(bytes));
  }
}

function textBytes(text: string): number {
  return 2 * text.length + 4;
}

/** Writes what is hashed; see the head of the file. */
class HashWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  int8(value: number): void {
    this.#view.setInt8(this.#at, value);
    this.#at += 1;
  }

  int32(value: number): void {
    this.#view.setInt32(this.#at, value, true);
    this.#at += 4;
  }

  /** Ids are stored big-endian everywhere else; here each half is a little-endian number. */
  uuid(id: string): void {
    uuidToBytes(id, this.bytes, this.#at);
    this.bytes.subarray(this.#at, this.#at + 8).reverse();
    this.bytes.subarray(this.#at + 8, this.#at + UUID_BYTES).reverse();
    this.#at += UUID_BYTES;
  }

  text(text: string): void {
    for (let index = 0; index < text.length; index++) {
      this.#view.setUint16(this.#at, text.charCodeAt(index), true);
      this.#at += 2;
    }
    this.int32(text.length);
  }
}
