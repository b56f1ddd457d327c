/** A connection to something that answers wrongly, late, or not at all: every wait has an end, every length a bound. */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { parseAddresses } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { Connection } from "#client/connection.ts";
import { retrying } from "#client/retry.ts";
import { MetadataApi, makeMetadataRequest } from "#protocol/generated/metadata.ts";
import {
  ApiVersionsApi,
  makeApiVersion,
  makeApiVersionsRequest,
  makeApiVersionsResponse,
} from "#protocol/generated/api-versions.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { createNativeAssist } from "#transport/sendfile.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server whose reply to each piece of input is given. */
async function serve(
  onData: (data: Buffer, socket: Socket, count: number) => void,
): Promise<number> {
  const server = createServer((socket) => {
    let count = 0;
    socket.on("data", (data) => {
      count += 1;
      onData(Buffer.from(data), socket, count);
    });
    socket.on("error", () => {});
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function frame(correlationId: number, write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(64);
  writer.int32(0);
  writer.int32(correlationId);
  write(writer);
  const bytes = writer.toBytes();
  new DataView(bytes.buffer).setInt32(0, bytes.length - 4);
  return bytes;
}

const correlationOf = (request: Buffer): number => request.readInt32BE(8);
const versions = (request: Buffer, version = 3): Uint8Array =>
  frame(correlationOf(request), (writer) =>
    ApiVersionsApi.response.encode(
      writer,
      makeApiVersionsResponse({
        apiKeys: [makeApiVersion({ apiKey: 3, minVersion: 0, maxVersion: 1 })],
      }),
      version,
    ),
  );

async function failureOf(work: Promise<unknown>): Promise<[string, string]> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ClientError) return [error.code, error.message];
    throw error;
  }
  throw new Error("it should have failed");
}

describe("a connection", () => {
  test("falls back when the broker does not know the version of ApiVersions", async () => {
    const port = await serve((data, socket, count) => {
      if (count === 1) {
        socket.write(
          frame(correlationOf(data), (writer) => {
            writer.int16(35);
            writer.int32(0);
          }),
        );
      } else socket.write(versions(data, 0));
    });
    const connection = await Connection.open({ host: "127.0.0.1", port });
    expect([connection.versionOf(MetadataApi), connection.versionOf(ApiVersionsApi)]).toEqual([
      1,
      null,
    ]);
    connection.close();
  });

  test("takes an answer in pieces, down to single bytes", async () => {
    const port = await serve((data, socket) => {
      for (const byte of versions(data)) socket.write(new Uint8Array([byte]));
    });
    const connection = await Connection.open({ host: "127.0.0.1", port });
    expect(connection.servedVersions.get(3)).toEqual({ min: 0, max: 1 });
    connection.close();
  });

  test("uses the memory of an answer again once it is given back, and not before", async () => {
    const name = "x".repeat(700_000);
    const answer = (request: Buffer, letter: string): Uint8Array =>
      frame(correlationOf(request), (writer) => {
        writer.int16(0);
        writer.int32(1);
        for (const field of [1, 0, 1]) writer.int16(field);
        for (let at = 0; at < name.length; at += 1) writer.int8(letter.charCodeAt(0));
      });
    let count = 0;
    const port = await serve((data, socket) => {
      count += 1;
      // The first answers the question for versions; the rest is padding that the decoder leaves alone.
      socket.write(count === 1 ? versions(data) : answer(data, "abcd".charAt(count - 2)));
    });
    const { receiver } = createNativeAssist();
    const connection = await Connection.open({ host: "127.0.0.1", port }, { receiver });
    const frames: Uint8Array[] = [];
    const onFrame = connection.onFrame.bind(connection);
    connection.onFrame = (bytes) => {
      frames.push(bytes);
      onFrame(bytes);
    };
    const ask = (): Promise<unknown> =>
      connection.sendAt(ApiVersionsApi, 0, makeApiVersionsRequest());
    await ask();
    await ask();
    const last = (bytes: Uint8Array | undefined): number | undefined => bytes?.at(-1);
    expect(frames.map(last)).toEqual(["a".charCodeAt(0), "b".charCodeAt(0)]);
    connection.recycle();
    await ask();
    // The second answer was given back and made room for the third; the first was not.
    expect(frames.map(last)).toEqual(["a", "c", "c"].map((letter) => letter.charCodeAt(0)));
    expect(frames[2]?.buffer).toBe(frames[1]?.buffer as ArrayBuffer);
    connection.close();
  });

  test.each([
    [
      "a length beyond the limit",
      new Uint8Array([0x7f, 0xff, 0xff, 0xff]),
      "it announced an answer of 2147483647 bytes",
    ],
    [
      "a length below a header",
      new Uint8Array([0, 0, 0, 1, 0]),
      "it announced an answer of 1 bytes",
    ],
    [
      "another correlation id",
      frame(99, (writer) => writer.int16(0)),
      "answered a request that was not asked next",
    ],
    [
      "an answer that is cut off",
      frame(1, (writer) => writer.int16(0)),
      "answered ApiVersions with something else",
    ],
  ])("is closed by %s", async (_what, bytes, expected) => {
    const port = await serve((_data, socket) => {
      socket.write(bytes);
    });
    const [code, message] = await failureOf(Connection.open({ host: "127.0.0.1", port }));
    expect([code, message.includes(expected)]).toEqual(["BAD_ANSWER", true]);
  });

  test("fails every request in flight when one is not answered in time", async () => {
    const port = await serve((data, socket, count) => {
      if (count === 1) socket.write(versions(data));
    });
    const connection = await Connection.open({ host: "127.0.0.1", port }, { requestTimeoutMs: 50 });
    const request = makeMetadataRequest({ topics: [], allowAutoTopicCreation: true });
    const failures = await Promise.all([
      failureOf(connection.send(MetadataApi, request)),
      failureOf(connection.send(MetadataApi, request)),
    ]);
    expect([failures.map(([code]) => code), connection.isOpen]).toEqual([
      ["TIMED_OUT", "TIMED_OUT"],
      false,
    ]);
  });

  test("says that the other end went away", async () => {
    const port = await serve((_data, socket) => {
      socket.destroy();
    });
    const [code] = await failureOf(Connection.open({ host: "127.0.0.1", port }));
    expect(code).toBe("CONNECTION_CLOSED");
  });
});

test("addresses as people write them", () => {
  expect(
    [
      "a:1",
      "a",
      "[::1]:5,b:6",
      " a:1 , b ",
      "",
      "a:0",
      "a:70000",
      "::1",
      "http://a:1",
      "a:1,,",
    ].map(parseAddresses),
  ).toEqual([
    [{ host: "a", port: 1 }],
    [{ host: "a", port: 9092 }],
    [
      { host: "::1", port: 5 },
      { host: "b", port: 6 },
    ],
    [
      { host: "a", port: 1 },
      { host: "b", port: 9092 },
    ],
    null,
    null,
    null,
    null,
    null,
    [{ host: "a", port: 1 }],
  ]);
});

test("what passes by itself is tried again, what does not is not", async () => {
  let attempts = 0;
  const fail = (code: "CONNECTION_CLOSED" | "BAD_ANSWER") => async (): Promise<number> => {
    attempts += 1;
    if (attempts < 3) throw new ClientError(code, "no");
    return attempts;
  };
  expect(await retrying(fail("CONNECTION_CLOSED"), 5_000)).toBe(3);
  attempts = 0;
  expect(await failureOf(retrying(fail("BAD_ANSWER"), 5_000))).toEqual(["BAD_ANSWER", "no"]);
});
