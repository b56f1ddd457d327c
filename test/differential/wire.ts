/**
 * One raw connection to a broker, for differential tests: messages are encoded by our codecs, so the same bytes reach every
 * broker, and nothing retries or hides an error code as a client would.
 *
 * ```ts
 * using wire = await Wire.connect("127.0.0.1:9092");
 * const answer = await wire.send(HeartbeatApi, 4, makeHeartbeatRequest({ groupId: "g" }));
 * ```
 */
import { connect, type Socket } from "node:net";
import type { ApiMessages } from "#protocol/api.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { decodeResponseHeader, encodeRequestHeader } from "#protocol/headers.ts";

/** A request as it goes over the wire: length, header, body. */
export function encodeFrame<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
  clientId: string,
  correlationId = 0,
): Buffer {
  const body = new Writer();
  encodeRequestHeader(body, { apiKey: api.key, apiVersion: version, correlationId, clientId });
  api.request.encode(body, request, version);
  const frame = Buffer.alloc(4 + body.length);
  frame.writeInt32BE(body.length, 0);
  frame.set(body.bytes(), 4);
  return frame;
}

/** Decodes an answer that begins with its header; throws where it is cut short or malformed. */
export function decodeAnswer<Res>(
  api: ApiMessages<unknown, Res>,
  version: number,
  bytes: Uint8Array,
): Res {
  const reader = new Reader(bytes);
  decodeResponseHeader(reader, api.key, version);
  const response = api.response.decode(reader, version);
  if (reader.failure !== null) throw new Error(`${api.name} v${version}: ${reader.failure}`);
  return response;
}

/** A connection that sends requests one after another. */
export class Wire implements Disposable {
  readonly #socket: Socket;
  readonly #clientId: string;
  readonly #waiting: { resolve(frame: Uint8Array): void; reject(error: Error): void }[] = [];
  #received: Buffer = Buffer.alloc(0);
  #correlationId = 0;

  private constructor(socket: Socket, clientId: string) {
    this.#socket = socket;
    this.#clientId = clientId;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const waiting of this.#waiting.splice(0)) {
        waiting.reject(new Error("connection closed"));
      }
    });
  }

  /** Opens a connection to `host:port`. */
  static connect(address: string, clientId = "differential"): Promise<Wire> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true }, () =>
        resolve(new Wire(socket, clientId)),
      );
      socket.once("error", reject);
    });
  }

  /** Sends a request and returns its decoded answer; rejects when the broker closes the connection instead. */
  async send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res> {
    this.#correlationId += 1;
    const frame = encodeFrame(api, version, request, this.#clientId, this.#correlationId);
    return decodeAnswer(api, version, await this.exchange(frame));
  }

  /** Sends a whole frame and returns the answer without its length prefix; rejects when the connection closes instead. */
  exchange(frame: Uint8Array): Promise<Uint8Array> {
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    this.#socket.write(frame);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (end < 8) {
        // Nothing can be made of what comes after that.
        this.#socket.destroy(new Error(`an answer of ${end - 4} bytes`));
        console.error(`an answer of ${end - 4} bytes`);
        return;
      }
      if (this.#received.length < end) return;
      const frame = new Uint8Array(this.#received.subarray(4, end));
      this.#received = this.#received.subarray(end);
      this.#waiting.shift()?.resolve(frame);
    }
  }
}
