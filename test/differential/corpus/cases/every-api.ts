/**
 * The same damage to every served API: a body that is missing, cut short or too long; the first two fields of each kind with a
 * length or count that is null, huge or no number at all; tagged sections, in header and body, that are unknown or lie. Each API is
 * damaged in its lowest version, its highest, and the last one before it became flexible.
 */
import type { Case } from "../case.ts";
import { one } from "../case.ts";
import {
  concat,
  type FieldKind,
  int16,
  int32,
  type MarkedBody,
  raw,
  repeat,
  replace,
  requestFrame,
  unsignedVarint,
  utf8,
  bodyOf,
  frame,
  header,
} from "../bytes.ts";
import type { Place } from "../case.ts";
import type { Sample } from "./sample.ts";
import { SAMPLES } from "./samples.ts";

/** What the length or count of a field becomes. */
type Damage = readonly [label: string, prefix: Uint8Array];

const INT_MAX = 0x7fffffff;
/** A varint that goes on for more bytes than an int32 has room for. */
const ENDLESS_VARINT = concat(repeat(0xff, 9), new Uint8Array([1]));

const PREFIXES: Readonly<Record<FieldKind, readonly Damage[]>> = {
  string: [
    ["null", int16(-1)],
    ["length -2", int16(-2)],
    ["length 32767", int16(0x7fff)],
  ],
  compactString: [
    ["null", unsignedVarint(0)],
    ["length 2^31-1", unsignedVarint(0x80000000)],
    ["length 32768", unsignedVarint(0x8001)],
    ["endless varint", ENDLESS_VARINT],
  ],
  bytes: [
    ["null", int32(-1)],
    ["length 2^31-1", int32(INT_MAX)],
  ],
  compactBytes: [
    ["null", unsignedVarint(0)],
    ["length 2^31-1", unsignedVarint(0x80000000)],
    ["endless varint", ENDLESS_VARINT],
  ],
  array: [
    ["null", int32(-1)],
    ["count -2", int32(-2)],
    ["count 2^31-1", int32(INT_MAX)],
  ],
  compactArray: [
    ["null", unsignedVarint(0)],
    ["count 2^31-1", unsignedVarint(0x80000000)],
    ["count -2", unsignedVarint(0xffffffff)],
    ["endless varint", ENDLESS_VARINT],
  ],
};

/** Fields of one kind that are damaged in a body. */
const FIELDS_PER_KIND = 2;
const UNKNOWN_TAG = concat(new Uint8Array([1, 99, 3]), utf8("abc"));

/** Damage to tagged sections. */
const TAG_SECTIONS: readonly Damage[] = [
  ["unknown tag", UNKNOWN_TAG],
  ["tag count 2^31-1", unsignedVarint(INT_MAX)],
  ["tag count -1", unsignedVarint(0xffffffff)],
  ["tag past the end", new Uint8Array([1, 99, 100])],
  ["tag size negative", concat(new Uint8Array([1, 99]), unsignedVarint(0xffffffff))],
  ["tags out of order", new Uint8Array([2, 99, 0, 98, 0])],
  ["tag twice", new Uint8Array([2, 99, 0, 99, 0])],
];

function versionsOf({ api, minVersion, maxVersion }: Sample): number[] {
  const lastPlain = Math.min(maxVersion, api.firstFlexibleVersion - 1);
  return [...new Set([minVersion, Math.max(lastPlain, minVersion), maxVersion])];
}

function casesOf(sample: Sample, version: number): Case[] {
  const { api, make } = sample;
  const isFlexible = version >= api.firstFlexibleVersion;
  const cases: Case[] = [];
  const add = (label: string, bytes: (place: Place) => Uint8Array): void => {
    cases.push(one(`every-api/${api.name} v${version} ${label}`, (place) => raw(bytes(place))));
  };
  const damaged = (label: string, damage: (body: MarkedBody) => Uint8Array): void =>
    add(label, (place) => requestFrame(api, version, make(version, place), { damage }));

  damaged("sound", (body) => body.bytes);
  damaged("no body", () => new Uint8Array(0));
  damaged("half a body", ({ bytes }) => bytes.subarray(0, bytes.length >> 1));
  damaged("a byte short", ({ bytes }) => bytes.subarray(0, -1));
  damaged("trailing bytes", ({ bytes }) => concat(bytes, repeat(0, 9)));

  const model = bodyOf(api, version, make(version, NOWHERE));
  const seen = new Map<FieldKind, number>();
  for (const [index, { kind }] of model.marks.entries()) {
    const order = (seen.get(kind) ?? 0) + 1;
    seen.set(kind, order);
    if (order > FIELDS_PER_KIND) continue;
    for (const [label, prefix] of PREFIXES[kind]) {
      damaged(`${kind} ${order} ${label}`, ({ bytes, marks }) => {
        const mark = marks[index];
        if (mark === undefined) throw new Error(`${api.name}: fields depend on the place`);
        const end = label === "null" && !kind.endsWith("rray") ? mark.end : mark.prefixEnd;
        return replace(bytes, mark.start, end, prefix);
      });
    }
    if (kind.endsWith("tring") && order === 1) {
      damaged(`${kind} not UTF-8`, ({ bytes, marks }) => {
        const mark = marks[index];
        if (mark === undefined || mark.end === mark.prefixEnd) return bytes;
        return replace(bytes, mark.end - 1, mark.end, new Uint8Array([0xff]));
      });
    }
  }
  if (isFlexible) {
    for (const [label, section] of TAG_SECTIONS) {
      damaged(`body ${label}`, ({ bytes }) => concat(bytes.subarray(0, -1), section));
    }
    for (const [label, section] of TAG_SECTIONS.slice(0, 4)) {
      add(`header ${label}`, (place) =>
        requestFrame(api, version, make(version, place), { tags: section }),
      );
    }
    add("header without tags", (place) =>
      frame(header(api.key, version, false), bodyOf(api, version, make(version, place)).bytes),
    );
  }
  return cases;
}

/** Only its lengths matter. */
const NOWHERE: Place = {
  run: "00000000",
  topic: "corpus-00000000-shared",
  topicId: "AAAAAAAAAAAAAAAAAAAABg",
  group: "corpus-00000000-g0000",
  clusterId: "",
};

/** All of them. */
export const EVERY_API_CASES: readonly Case[] = SAMPLES.flatMap((sample) =>
  versionsOf(sample).flatMap((version) => casesOf(sample, version)),
);
