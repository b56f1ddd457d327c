/**
 * Every decoder against bytes nobody vouches for. The samples come from Kafka's own classes; each is cut off at every
 * byte and damaged at random, and every decoder also meets plain noise and the byte patterns that mean most to it.
 */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { arbitraryMessage } from "../../golden/arbitrary.ts";
import { damaged, randomFrom } from "../../golden/damage.ts";
import { checkDecoding, countElements } from "../../golden/hostile.ts";
import { loadMessages } from "../../golden/messages.ts";
import { readSamples, type Sample } from "../../golden/samples.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));
const messages = await loadMessages();
const samples = new Map<string, Sample[]>();
for (const sample of readSamples().samples) {
  samples.set(sample.name, [...(samples.get(sample.name) ?? []), sample]);
}

/** Longer samples are cut at every byte of this much and checked whole. */
const CUT_BYTES = 400;
const PATTERN_BYTES = 2048;

function versionsOf(message: { minVersion: number; maxVersion: number }): number[] {
  return Array.from(
    { length: message.maxVersion - message.minVersion + 1 },
    (_, i) => message.minVersion + i,
  );
}

describe(`hostile bytes, SEED=${seed}`, () => {
  for (const message of messages) {
    const own = samples.get(message.name) ?? [];

    test(`${message.name}: a message that is cut off is refused, wherever the cut`, () => {
      for (const sample of own) {
        const bytes = Uint8Array.fromHex(sample.hex);
        for (let end = 0; end < Math.min(bytes.length, CUT_BYTES); end += 1) {
          const reader = new Reader(bytes, 0, end);
          message.codec.decode(reader, sample.version);
          if (reader.failure === null)
            throw new Error(`v${sample.version} cut at ${end} of ${sample.hex}`);
        }
      }
    });

    test(`${message.name}: damaged messages keep the rules`, () => {
      const random = randomFrom(seed);
      for (const sample of own) {
        const bytes = Uint8Array.fromHex(sample.hex);
        for (let index = 0; index < 6; index += 1) {
          const spoiled = damaged(bytes, random);
          try {
            checkDecoding(message, sample.version, spoiled);
          } catch (error) {
            throw new Error(`v${sample.version} ${spoiled.toHex()}`, { cause: error });
          }
        }
      }
    });

    test(`${message.name}: noise keeps the rules`, () => {
      const version = fc.constantFrom(...versionsOf(message));
      const noise = fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc
          .array(fc.constantFrom(0, 0, 0, 1, 2, 3, 0x7f, 0x80, 0xff), { maxLength: 200 })
          .map((bytes) => Uint8Array.from(bytes)),
      );
      fc.assert(
        fc.property(version, noise, (atVersion, bytes) => {
          checkDecoding(message, atVersion, bytes);
        }),
        { numRuns: 60, seed },
      );
    });

    test(`${message.name}: what is written reads back the same`, () => {
      for (const version of versionsOf(message)) {
        fc.assert(
          fc.property(arbitraryMessage(message.schema, version), (object) => {
            const writer = new Writer(16);
            message.codec.encode(writer, object, version);
            const reader = new Reader(writer.bytes());
            const decoded = message.codec.decode(reader, version);
            expect(reader.failure).toBeNull();
            expect(reader.remaining).toBe(0);
            expect(decoded).toEqual(object);
          }),
          { numRuns: 4, seed },
        );
      }
    });
  }

  test("runs of the bytes that mean most never yield more elements than bytes", () => {
    for (const byte of [0x00, 0x01, 0x02, 0x03, 0x7f, 0x80, 0xff]) {
      const bytes = new Uint8Array(PATTERN_BYTES).fill(byte);
      for (const message of messages) {
        for (const version of versionsOf(message)) {
          const elements = countElements(message.codec.decode(new Reader(bytes), version));
          if (elements > bytes.length)
            throw new Error(`${message.name} v${version}: ${elements} elements`);
        }
      }
    }
  });

  test("the rules can be broken: a decoder that invents elements is caught", () => {
    const inventive = {
      ...messages[0]!,
      codec: { decode: () => ({ list: [1, 2, 3] }), encode: () => undefined },
    };
    expect(() => checkDecoding(inventive, 0, new Uint8Array(2))).toThrow("3 elements from 2 bytes");
    expect(() => checkDecoding(inventive, 0, new Uint8Array(9))).not.toThrow();
  });
});
