/** Bytes that are no request: sizes, headers, other protocols, and the ways in which sound requests may arrive. */
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import { concat, frame, header, int16, int32, raw, repeat, requestFrame, utf8 } from "../bytes.ts";
import { type Case, one, several, type Turn } from "../case.ts";

const SOUND = requestFrame(ApiVersionsApi, 0, makeApiVersionsRequest());
const NO_TOPICS = makeMetadataRequest({ topics: [], allowAutoTopicCreation: false });
const METADATA = requestFrame(MetadataApi, 12, NO_TOPICS);
const MAX_FRAME_BYTES = 100 * 1024 * 1024;

const numbered = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, index) =>
    requestFrame(MetadataApi, 12, NO_TOPICS, { correlationId: 2000 + index }),
  );

const bytewise = (bytes: Uint8Array): Turn => ({
  writes: Array.from(bytes, (byte) => new Uint8Array([byte])),
  replies: 1,
});

/** A TLS 1.2 ClientHello, as far as it goes. */
const TLS_HELLO = concat(
  new Uint8Array([0x16, 0x03, 0x01, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x03]),
  repeat(0x42, 32),
  new Uint8Array([0, 0, 4, 0x13, 0x01, 0x13, 0x02, 1, 0]),
);

/** All of them. */
export const FRAMING_CASES: readonly Case[] = [
  ...(
    [
      ["-1", -1],
      ["-2^31", -0x80000000],
      ["2^31-1", 0x7fffffff],
      ["100 MiB + 1", MAX_FRAME_BYTES + 1],
    ] as const
  ).map(([label, size]) => one(`framing/size ${label}`, raw(int32(size)))),
  one("framing/size 0", raw(int32(0))),
  one("framing/size 0 before a sound request", raw(concat(int32(0), SOUND))),
  one("framing/size 100 MiB, then silence", raw(int32(MAX_FRAME_BYTES)), { ending: "idle" }),
  one("framing/size 100 MiB, a few bytes, FIN", raw(concat(int32(MAX_FRAME_BYTES), SOUND), 0), {
    ending: "finish",
  }),
  ...[1, 2, 3, 4, 7, 8, 9, 10].map((size) =>
    one(`framing/frame of ${size} bytes`, raw(frame(SOUND.subarray(4, 4 + size)))),
  ),
  ...[1, 2, 3].map((count) =>
    one(`framing/${count} bytes of a size, then silence`, raw(SOUND.subarray(0, count)), {
      ending: "idle",
    }),
  ),
  ...[1, 4, 9].map((count) =>
    one(`framing/${count} bytes, then FIN`, raw(SOUND.subarray(0, count), 0), {
      ending: "finish",
    }),
  ),
  one("framing/nothing but FIN", raw(new Uint8Array(0), 0), { ending: "finish" }),
  one("framing/sound, then FIN", raw(METADATA), { ending: "finish" }),
  one("framing/half a frame, then silence", raw(METADATA.subarray(0, 12)), { ending: "idle" }),
  one("framing/a byte at a time", bytewise(METADATA)),
  one("framing/a byte at a time, then a bad size", bytewise(concat(METADATA, int32(-1)))),
  one("framing/HTTP", raw(utf8("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))),
  one("framing/HTTP POST", raw(utf8("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))),
  one("framing/TLS hello", raw(TLS_HELLO)),
  one("framing/SSH hello", raw(utf8("SSH-2.0-OpenSSH_9.2\r\n"))),
  one("framing/SASL PLAIN token", raw(frame(utf8("\0user\0password")))),
  one("framing/PROXY protocol v1", raw(utf8("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"))),
  one("framing/zeros", raw(repeat(0, 64))),
  one("framing/ones", raw(repeat(0xff, 64))),
  one("framing/random bytes in a frame", raw(frame(repeat(0x5a, 64)))),

  // Pipelining.
  one("framing/500 pipelined", { writes: [concat(...numbered(500))], replies: 500 }),
  one("framing/two in one write", { writes: [concat(...numbered(2))], replies: 2 }),
  one("framing/two cut in the middle", {
    writes: [concat(METADATA, METADATA.subarray(0, 7)), METADATA.subarray(7)],
    replies: 2,
  }),
  several("framing/a bad one after sound ones", [
    { writes: [concat(...numbered(3))], replies: 3 },
    raw(frame(header(999, 0, false))),
  ]),
  several("framing/a bad size after a sound one", [raw(METADATA), raw(int32(-5))]),
  several("framing/a cut body after a sound one", [
    raw(METADATA),
    raw(frame(METADATA.subarray(4, -3))),
  ]),

  // Headers.
  ...[-1, -32768, 999, 32767, 4, 5, 6, 7].map((key) =>
    one(`framing/key ${key}`, raw(frame(header(key, 0, false), repeat(0, 16)))),
  ),
  ...[-1, -32768, 14, 99, 32767].map((version) =>
    one(
      `framing/Metadata version ${version}`,
      raw(frame(header(MetadataApi.key, version, version > 8), new Uint8Array([1, 0, 0, 0, 0]))),
    ),
  ),
  ...([0, 1, 2] as const).map((version) =>
    one(
      `framing/Produce version ${version}`,
      raw(frame(header(0, version, false), int16(1), int32(1000), int32(0))),
    ),
  ),
  ...([0, 3] as const).map((version) =>
    one(
      `framing/Fetch version ${version}`,
      raw(frame(header(1, version, false), int32(-1), int32(0), int32(1), int32(0), int32(0))),
    ),
  ),
  ...(
    [
      ["null", int16(-1)],
      ["length -2", int16(-2)],
      ["empty", int16(0)],
      ["not UTF-8", concat(int16(3), new Uint8Array([0xff, 0xfe, 0xc0]))],
      ["an encoded surrogate", concat(int16(3), new Uint8Array([0xed, 0xa0, 0x80]))],
      ["of zero bytes", concat(int16(4), repeat(0, 4))],
      ["past the end", int16(0x7fff)],
      ["of 32767 bytes", concat(int16(0x7fff), repeat(0x61, 0x7fff))],
    ] as const
  ).map(([label, clientId]) =>
    one(`framing/client id ${label}`, raw(requestFrame(MetadataApi, 12, NO_TOPICS, { clientId }))),
  ),
  ...[0, -1, 0x7fffffff, -0x80000000].map((correlationId) =>
    one(
      `framing/correlation id ${correlationId}`,
      raw(requestFrame(MetadataApi, 12, NO_TOPICS, { correlationId })),
    ),
  ),
  one(
    "framing/tags in a header that has none",
    raw(frame(header(MetadataApi.key, 8, true), int32(0), new Uint8Array([0, 0, 0]))),
  ),
  one(
    "framing/64 KiB of tags in the header",
    raw(
      requestFrame(MetadataApi, 12, NO_TOPICS, {
        tags: concat(new Uint8Array([1, 5, 0x80, 0x80, 0x04]), repeat(1, 65_536)),
      }),
    ),
  ),
  one(
    "framing/10,000 tags in the header",
    raw(
      requestFrame(MetadataApi, 12, NO_TOPICS, {
        tags: concat(
          new Uint8Array([0x90, 0x4e]),
          ...Array.from({ length: 10_000 }, (_, tag) => {
            const number = tag + 3;
            return number < 0x80
              ? new Uint8Array([number, 0])
              : new Uint8Array([(number & 0x7f) | 0x80, number >> 7, 0]);
          }),
        ),
      }),
    ),
  ),
  one("framing/1 MiB of trailing bytes", raw(frame(METADATA.subarray(4), repeat(9, 1 << 20)))),
];
