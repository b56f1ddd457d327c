/**
 * Frames for the broker's socket, from well formed to nonsense.
 *
 * A frame begins as a message that Kafka's own classes wrote (the golden samples), so that every field of every version is in play.
 * Names, ids and sizes in it are then mostly replaced by ones that mean something to the broker under test: a request that dies at
 * "unknown topic" exercises nothing behind that line. Last it is damaged, or its header or length is, or it goes out as it is.
 */
import type { ApiMessages, MessageCodec } from "#protocol/api.ts";
import { apiByKey } from "#protocol/apis.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { isFlexibleVersion } from "#protocol/headers.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { damaged, type Random } from "../golden/damage.ts";
import { readSamples } from "../golden/samples.ts";

/** An API in the versions a broker advertises. */
export interface ServedApi {
  readonly key: number;
  readonly minVersion: number;
  readonly maxVersion: number;
}

/** A topic that exists while the fuzzer runs; others may delete it at any time, the fuzzer makes it again. */
export interface LiveTopic {
  readonly name: string;
  id: string;
}

/** One frame to send. */
export interface Frame {
  /** Length, header and body. */
  readonly bytes: Uint8Array;
  readonly apiKey: number;
  readonly apiVersion: number;
  /** What the broker may do with it besides answering or closing at once. */
  readonly patience: "none" | "may wait" | "no answer";
}

const GROUPS = ["fuzz-group-0", "fuzz-group-1", "fuzz-group-2"];
const MEMBERS = ["", "fuzz-member-0", "fuzz-member-1"];
const PARTITIONS = 3;
/** Partitions a frame may really create; more would measure the disk instead of the parser. */
const CREATED_PARTITIONS_MAX = 4;
/** Waits longer than this are the sender's wish, not a hang. */
const ASKED_WAIT_MS = 200;
const [PRODUCE, FETCH, JOIN_GROUP, SYNC_GROUP, CREATE_TOPICS, CREATE_PARTITIONS] = [
  0, 1, 11, 14, 19, 37,
];

interface Base {
  readonly api: ApiMessages<unknown, unknown>;
  readonly version: number;
  readonly samples: Uint8Array[];
}

/** Makes frames from a seed. */
export class FrameSource {
  readonly #random: Random;
  readonly #bases: Base[] = [];
  readonly #topics: readonly LiveTopic[];
  #correlationId = 0;

  constructor(random: Random, served: readonly ServedApi[], topics: readonly LiveTopic[]) {
    this.#random = random;
    this.#topics = topics;
    const samples = new Map<string, Uint8Array[]>();
    for (const { name, version, hex } of readSamples().samples) {
      const key = `${name} ${version}`;
      const list = samples.get(key) ?? [];
      list.push(Uint8Array.from(Buffer.from(hex, "hex")));
      samples.set(key, list);
    }
    for (const { key, minVersion, maxVersion } of served) {
      const api = apiByKey(key);
      if (api === undefined) throw new Error(`no codecs for API ${key}`);
      for (let version = minVersion; version <= maxVersion; version += 1) {
        const found = samples.get(`${api.name}Request ${version}`);
        if (found !== undefined) this.#bases.push({ api, version, samples: found });
      }
    }
    if (this.#bases.length === 0) throw new Error("nothing is served");
  }

  /** Pairs of API and version that frames are made of. */
  get pairCount(): number {
    return this.#bases.length;
  }

  /** The next frame; pairs of API and version take turns, so that a million frames reach each alike. */
  next(): Frame {
    for (;;) {
      this.#correlationId = (this.#correlationId + 1) & 0x7fffffff;
      const base = this.#bases[this.#correlationId % this.#bases.length];
      if (base === undefined) throw new Error("unreachable: the bases are not empty");
      const body = this.#body(base);
      const frame = this.#frame(base, this.#random() < 0.6 ? damaged(body, this.#random) : body);
      if (frame !== null) return frame;
    }
  }

  #body({ api, version, samples }: Base): Uint8Array {
    const sample = this.#pick(samples);
    if (this.#random() < 0.15) return sample;
    const message = api.request.decode(new Reader(sample), version);
    this.#settle(message, api.key);
    const writer = new Writer();
    try {
      api.request.encode(writer, message, version);
    } catch {
      // A value that this version cannot carry: the sample as it came will do.
      return sample;
    }
    return writer.bytes().slice();
  }

  #frame({ api, version }: Base, body: Uint8Array): Frame | null {
    const chance = this.#random();
    const header = this.#header(api.key, version, chance < 0.03);
    const isHeaderDamaged = chance < 0.06;
    const content = Buffer.concat([isHeaderDamaged ? damaged(header, this.#random) : header, body]);
    const isCut = this.#random() < 0.01;
    const bytes = Buffer.alloc(4 + content.length);
    bytes.writeInt32BE(isCut ? content.length + 1 + this.#below(1000) : content.length);
    bytes.set(content, 4);
    const patience = isCut || isHeaderDamaged ? "may wait" : patienceOf(api, version, body);
    if (patience === null) return null;
    return { bytes, apiKey: api.key, apiVersion: version, patience };
  }

  #header(apiKey: number, version: number, isStrange: boolean): Uint8Array {
    const clientId = isStrange ? "\u0000\u001b[31m\n\uffff".repeat(this.#below(40)) : "fuzz";
    const text = Buffer.from(clientId);
    const tags = isFlexibleVersion(apiKey, version) ? [isStrange ? 0x81 : 0] : [];
    const header = Buffer.alloc(10 + text.length + tags.length);
    header.writeInt16BE(apiKey, 0);
    header.writeInt16BE(isStrange ? this.#below(0x10000) - 0x8000 : version, 2);
    header.writeInt32BE(this.#correlationId, 4);
    header.writeInt16BE(text.length, 8);
    header.set(text, 10);
    header.set(tags, 10 + text.length);
    return header;
  }

  /** Gives the fields of a message values that mean something here. */
  #settle(value: unknown, apiKey: number): void {
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
    if (Array.isArray(value)) {
      for (const each of value) this.#settle(each, apiKey);
      return;
    }
    const fields = value as Record<string, unknown>;
    for (const [name, field] of Object.entries(fields)) {
      const better = this.#random() < 0.85 ? this.#meaningful(name, field, apiKey) : undefined;
      if (better === undefined) this.#settle(field, apiKey);
      else fields[name] = better;
    }
  }

  #meaningful(name: string, old: unknown, apiKey: number): unknown {
    switch (name) {
      case "topic":
      case "name":
      case "topicName":
        if (typeof old !== "string") return undefined;
        // Creation meets names that exist as well as new ones, but few of those.
        return apiKey === CREATE_TOPICS && this.#random() < 0.5
          ? `fuzz-made-${this.#below(5)}`
          : this.#pick(this.#topics).name;
      case "topicId":
        return this.#pick(this.#topics).id;
      case "topicNames":
        return Array.isArray(old) ? [this.#pick(this.#topics).name] : undefined;
      case "groupId":
      case "key":
        return typeof old === "string" ? this.#pick(GROUPS) : undefined;
      case "groups":
      case "groupsNames":
      case "coordinatorKeys":
        return Array.isArray(old) && old.every((each) => typeof each === "string")
          ? [...GROUPS]
          : undefined;
      case "memberId":
        return this.#pick(MEMBERS);
      case "partition":
      case "index":
      case "partitionIndex":
      case "partitionId":
        return typeof old === "number" ? this.#below(PARTITIONS + 1) : undefined;
      case "partitionIndexes":
        return [this.#below(PARTITIONS), this.#below(PARTITIONS)];
      case "records":
        return this.#records();
      case "acks":
        return this.#pick([1, -1, -1, 0]);
      case "maxWaitMs":
      case "timeoutMs":
        return this.#below(60);
      case "sessionTimeoutMs":
        return 6000;
      case "rebalanceTimeoutMs":
        return 60;
      case "generationId":
      case "sessionId":
      case "sessionEpoch":
        return this.#below(3) - 1;
      case "numPartitions":
      case "count":
        return 1 + this.#below(2);
      case "replicationFactor":
        return this.#pick([1, -1]);
      case "assignments":
        return apiKey === CREATE_TOPICS || apiKey === CREATE_PARTITIONS ? [] : undefined;
      case "fetchOffset":
      case "offset":
      case "committedOffset":
      case "timestamp":
        return typeof old === "number" ? this.#below(2000) - 5 : undefined;
      case "minBytes":
        return this.#below(3);
      case "maxBytes":
      case "partitionMaxBytes":
        return typeof old === "number" ? this.#below(1 << 20) : undefined;
      case "currentLeaderEpoch":
      case "lastFetchedEpoch":
      case "leaderEpoch":
        return -1;
      case "isolationLevel":
        return this.#below(2);
      case "replicaId":
        return -1;
      case "transactionalId":
        return null;
      default:
        return undefined;
    }
  }

  #records(): Uint8Array {
    const count = 1 + this.#below(4);
    const batch = encodeRecordBatch({
      records: Array.from({ length: count }, (_, at) => ({
        key: Uint8Array.from([at]),
        value: new Uint8Array(this.#below(200)),
      })),
      timestamp: Date.now(),
      ...(this.#random() < 0.3
        ? { producerId: BigInt(this.#below(5)), producerEpoch: 0, baseSequence: this.#below(8) }
        : {}),
    });
    return this.#random() < 0.3 ? damaged(batch, this.#random) : batch;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(list: readonly T[]): T {
    const one = list[this.#below(list.length)];
    if (one === undefined) throw new Error("an empty list to pick from");
    return one;
  }
}

/** What a body, as it is, entitles the broker to; null when it would really create more partitions than the fuzzer wants. */
function patienceOf(
  api: ApiMessages<unknown, unknown>,
  version: number,
  body: Uint8Array,
): Frame["patience"] | null {
  const request = read(api.request, version, body);
  if (request === null) return "none";
  switch (api.key) {
    case PRODUCE:
      return request["acks"] === 0 ? "no answer" : "none";
    case FETCH:
      return Number(request["maxWaitMs"]) > ASKED_WAIT_MS ? "may wait" : "none";
    case JOIN_GROUP:
    case SYNC_GROUP:
      return "may wait";
    case CREATE_TOPICS:
    case CREATE_PARTITIONS:
      return request["validateOnly"] === true ||
        createdPartitions(request["topics"]) <= CREATED_PARTITIONS_MAX
        ? "none"
        : null;
    default:
      return "none";
  }
}

function read(
  codec: MessageCodec<unknown>,
  version: number,
  body: Uint8Array,
): Record<string, unknown> | null {
  const reader = new Reader(body);
  const message = codec.decode(reader, version);
  return reader.failure === null ? (message as Record<string, unknown>) : null;
}

function createdPartitions(topics: unknown): number {
  if (!Array.isArray(topics)) return 0;
  let sum = 0;
  for (const topic of topics as Record<string, unknown>[]) {
    const assignments = topic["assignments"];
    const count = Number(topic["numPartitions"] ?? topic["count"] ?? 1);
    sum += Math.max(1, count, Array.isArray(assignments) ? assignments.length : 0);
  }
  return sum;
}
