import { describe, expect, test } from "bun:test";
import { mismatchOf } from "./compare.ts";
import { loadMessages } from "./messages.ts";
import { readSamples, type Sample } from "./samples.ts";

const { origin, samples } = readSamples();
const messages = await loadMessages();
const byName = new Map<string, Sample[]>();
for (const sample of samples) {
  const list = byName.get(sample.name);
  if (list === undefined) byName.set(sample.name, [sample]);
  else list.push(sample);
}

describe(`samples written by Kafka ${origin.kafka} and ${origin.predecessor} on ${origin.date}`, () => {
  for (const message of messages) {
    test(message.name, () => {
      const own = byName.get(message.name) ?? [];
      const versions = new Set(own.map((sample) => sample.version));
      const expected: number[] = [];
      for (let version = message.minVersion; version <= message.maxVersion; version += 1) {
        expected.push(version);
      }
      expect([...versions].sort((one, other) => one - other)).toEqual(expected);
      const mismatches = own.map((sample) => mismatchOf(message, sample)).filter((text) => text !== null);
      expect(mismatches).toEqual([]);
    });
  }

  test("no sample is left without a codec but the headers, which headers.test.ts covers", () => {
    const known = new Set(messages.map((message) => message.name));
    expect([...byName.keys()].filter((name) => !known.has(name)).sort()).toEqual([
      "RequestHeader",
      "ResponseHeader",
    ]);
  });
});

test("a comparison notices a wrong value and a wrong byte", () => {
  const message = messages.find((candidate) => candidate.name === "HeartbeatRequest");
  const sample = byName.get("HeartbeatRequest")?.find((candidate) => candidate.version === 4);
  if (message === undefined || sample === undefined) throw new Error("no sample to spoil");
  const values = { ...(sample.values as object), generationId: 12_345 };
  expect(mismatchOf(message, { ...sample, values })).toContain("values differ");
  expect(mismatchOf(message, { ...sample, hex: `${sample.hex}00` })).toContain("left over");
});
