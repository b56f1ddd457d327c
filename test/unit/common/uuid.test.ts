import { expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  isUuid,
  METADATA_TOPIC_UUID,
  uuidFromBytes,
  uuidToBytes,
  ZERO_UUID,
} from "#common/uuid.ts";

test("any sixteen bytes become what base64url says, and come back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(5), (bytes, position) => {
      const shifted = new Uint8Array(32);
      shifted.set(bytes, position);
      const text = uuidFromBytes(shifted, position);
      expect(text).toBe(Buffer.from(bytes).toString("base64url"));
      const back = new Uint8Array(32);
      expect(uuidToBytes(text, back, position)).toBe(true);
      expect(back).toEqual(shifted);
    }),
  );
});

test("the ids with a meaning", () => {
  expect(uuidFromBytes(new Uint8Array(16), 0)).toBe(ZERO_UUID);
  const one = new Uint8Array(16);
  one[15] = 1;
  expect(uuidFromBytes(one, 0)).toBe(METADATA_TOPIC_UUID);
});

test.each([
  ["", "empty"],
  ["AAAAAAAAAAAAAAAAAAAAA", "too short"],
  ["AAAAAAAAAAAAAAAAAAAAAAA", "too long"],
  ["AAAAAAAAAAAAAAAAAAAAA=", "padding"],
  ["AAAAAAAAAAAAAAAAAAAA+A", "plain base64"],
  ["AAAAAAAAAAAAAAAAAAAAAB", "bits beyond the sixteenth byte"],
  ["ÄAAAAAAAAAAAAAAAAAAAAA", "not ASCII"],
])("%p is no id: %s", (text) => {
  const into = new Uint8Array(16).fill(9);
  expect(isUuid(text)).toBe(false);
  expect(uuidToBytes(text, into, 0)).toBe(false);
  expect(into).toEqual(new Uint8Array(16).fill(9));
});
