import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { API_VERSIONS } from "#protocol/apis.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  decodeRequestHeader,
  decodeResponseHeader,
  encodeRequestHeader,
  encodeResponseHeader,
  isFlexibleVersion,
  type RequestHeader,
} from "#protocol/headers.ts";

function decode(hex: string): { header: RequestHeader; failure: string | null; remaining: number } {
  const reader = new Reader(Uint8Array.fromHex(hex));
  const header = decodeRequestHeader(reader);
  return { header, failure: reader.failure, remaining: reader.remaining };
}

describe("request header", () => {
  test("v1 ends with the client id", () => {
    expect(decode(["0000", "0003", "00000007", "000161", "ff"].join(""))).toEqual({
      header: { apiKey: 0, apiVersion: 3, correlationId: 7, clientId: "a" },
      failure: null,
      remaining: 1,
    });
  });

  test("v2 has tagged fields, and the client id keeps its old form", () => {
    // Two unknown tagged fields are skipped.
    expect(
      decode(["0001", "000c", "00000007", "ffff", "02", "000109", "05020808", "ff"].join("")),
    ).toEqual({
      header: { apiKey: 1, apiVersion: 12, correlationId: 7, clientId: null },
      failure: null,
      remaining: 1,
    });
  });

  test("ApiVersions of an unknown version is read as flexible, of a negative one as not", () => {
    expect(decode(["0012", "0063", "00000001", "ffff", "00"].join(""))).toMatchObject({
      header: { apiKey: 18, apiVersion: 99 },
      failure: null,
      remaining: 0,
    });
    expect(decode(["0012", "0063", "00000001", "ffff"].join("")).failure).toBe(
      "message ends inside varint at byte 10",
    );
    expect(decode(["0012", "ffff", "00000001", "ffff"].join(""))).toMatchObject({
      header: { apiKey: 18, apiVersion: -1 },
      failure: null,
      remaining: 0,
    });
  });

  test("ControlledShutdown v0 has no client id", () => {
    expect(decode(["0007", "0000", "00000001"].join(""))).toEqual({
      header: { apiKey: 7, apiVersion: 0, correlationId: 1, clientId: null },
      failure: null,
      remaining: 0,
    });
  });

  test.each(["7fff", "ffff", "0004", "005f"])("unknown key %s is a failure", (key) => {
    expect(decode(`${key}000000000001ffff`).failure).toStartWith("unknown api key");
  });

  test.each([
    ["short", "000000"],
    ["client id past the end", "0000000300000007000561"],
    ["tag size past the end", "0001000c00000007ffff010009"],
    ["more tags than bytes", "0001000c00000007ffffff7f"],
  ])("%s is a failure", (_what, hex) => {
    expect(decode(hex).failure).not.toBeNull();
  });

  test("what is written reads back, for every key and version", () => {
    for (const info of API_VERSIONS.values()) {
      for (let apiVersion = info.minVersion; apiVersion <= info.maxVersion; apiVersion += 1) {
        for (const clientId of [null, "", "a client"]) {
          const header = { apiKey: info.key, apiVersion, correlationId: -5, clientId };
          const writer = new Writer(4);
          encodeRequestHeader(writer, header);
          expect(decode(writer.bytes().toHex())).toEqual({ header, failure: null, remaining: 0 });
        }
      }
    }
  });

  test("noise never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const reader = new Reader(bytes);
        decodeRequestHeader(reader);
        expect(reader.position).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

describe("response header", () => {
  const hexOf = (apiKey: number, apiVersion: number): string => {
    const writer = new Writer();
    encodeResponseHeader(writer, { apiKey, apiVersion, correlationId: 9 });
    expect(decodeResponseHeader(new Reader(writer.bytes()), apiKey, apiVersion)).toBe(9);
    return writer.bytes().toHex();
  };

  test("has tagged fields in flexible versions, but never for ApiVersions", () => {
    expect([hexOf(1, 11), hexOf(1, 12), hexOf(18, 0), hexOf(18, 3), hexOf(18, 5)]).toEqual([
      "00000009",
      "0000000900",
      "00000009",
      "00000009",
      "00000009",
    ]);
  });
});

test("APIs that never became flexible", () => {
  const never = [...API_VERSIONS.values()].filter(
    (info) => !isFlexibleVersion(info.key, info.maxVersion),
  );
  expect(never.map((info) => info.name)).toEqual(["SaslHandshake", "OffsetDelete"]);
  expect(isFlexibleVersion(4711, 0)).toBe(false);
});
