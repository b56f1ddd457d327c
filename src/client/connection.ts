/**
 * One connection to a broker: versions negotiated at the start, requests pipelined, answers matched in order, everything bounded in
 * time and size. A connection that breaks a rule of the protocol, or lets a request wait too long, is closed, and every request in
 * flight fails: what comes later on it could not be trusted.
 */
import type { ApiMessages } from "#protocol/api.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import { decodeResponseHeader, encodeRequestHeader } from "#protocol/headers.ts";
import type { DirectReceiver, Readiness } from "#transport/ports.ts";
import { type Address, formatAddress } from "./address.ts";
import { ClientError } from "./client-error.ts";
import { FrameSocket, type FrameSocketOwner } from "./frame-socket.ts";

/** How a connection behaves; the defaults suit a person who waits. */
export interface ConnectionOptions {
  readonly clientId?: string;
  /** Until the connection is made and the versions are known. */
  readonly connectTimeoutMs?: number;
  /** Until an answer has come, unless a request says otherwise. */
  readonly requestTimeoutMs?: number;
  /** Largest answer taken. */
  readonly maxFrameBytes?: number;
  /** False to ask for no versions: between nodes of one build, which use {@link Connection.sendAt}. */
  readonly asksForVersions?: boolean;
  /** Reads large answers past the event loop's own buffer. */
  readonly receiver?: DirectReceiver;
  /** With `receiver`: has large answers pulled into memory that is used again. */
  readonly readiness?: Readiness;
  /** Called with the socket's descriptor once connected. */
  readonly configure?: (fd: number) => void;
  /** Told once when the connection has ended, whoever ended it. */
  readonly onClose?: (error: ClientError) => void;
}

/** What one request may ask for. */
export interface SendOptions {
  readonly timeoutMs?: number;
  /** Highest version to use, where a newer one would need what the caller does not have. */
  readonly maxVersion?: number;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_FRAME_BYTES = 268_435_456;
const CLIENT_SOFTWARE_VERSION = 3;
const UNSUPPORTED_VERSION = 35;
const SIZE_BYTES = 4;
const CORRELATION_ID_BYTES = 4;

interface Waiting {
  readonly correlationId: number;
  readonly name: string;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly resolve: (frame: Uint8Array) => void;
  readonly reject: (error: ClientError) => void;
}

/** See the head of the file. */
export class Connection implements FrameSocketOwner {
  readonly address: Address;
  readonly #socket: FrameSocket;
  readonly #clientId: string;
  readonly #requestTimeoutMs: number;
  readonly #waiting: Waiting[] = [];
  readonly #versions: Map<number, { readonly min: number; readonly max: number }> = new Map();
  #nextCorrelationId = 1;
  #failure: ClientError | null = null;
  readonly #onClose: ((error: ClientError) => void) | undefined;

  private constructor(address: Address, socket: FrameSocket, options: ConnectionOptions) {
    this.address = address;
    this.#socket = socket;
    this.#onClose = options.onClose;
    this.#clientId = options.clientId ?? "sluice";
    this.#requestTimeoutMs = options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    socket.start(this);
  }

  /**
   * Connects and learns which versions the broker serves.
   *
   * @throws ClientError UNREACHABLE, TIMED_OUT, CONNECTION_CLOSED, BAD_ANSWER; nothing stays open.
   */
  static async open(address: Address, options: ConnectionOptions = {}): Promise<Connection> {
    const timeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
    const startedMs = performance.now();
    const socket = await openSocket(address, timeoutMs, options);
    const connection = new Connection(address, socket, options);
    if (options.asksForVersions === false) return connection;
    try {
      await connection.#negotiate(Math.max(1, timeoutMs - (performance.now() - startedMs)));
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** False once nothing can be sent any more. */
  get isOpen(): boolean {
    return this.#failure === null;
  }

  /** Keys of the APIs the broker serves, with the versions it gave. */
  get servedVersions(): ReadonlyMap<number, { readonly min: number; readonly max: number }> {
    return this.#versions;
  }

  /** The version a request will use; null when there is none in common. */
  versionOf(
    api: Pick<
      ApiMessages<unknown, unknown>,
      "key" | "minVersion" | "maxVersion" | "isLatestVersionUnstable"
    >,
    maxVersion: number = Infinity,
  ): number | null {
    const served = this.#versions.get(api.key);
    if (served === undefined) return null;
    const ours = api.isLatestVersionUnstable ? api.maxVersion - 1 : api.maxVersion;
    const version = Math.min(served.max, ours, maxVersion);
    return version < served.min || version < api.minVersion ? null : version;
  }

  /**
   * Sends a request and gives its answer.
   *
   * @throws ClientError UNSUPPORTED; TIMED_OUT, CONNECTION_CLOSED and BAD_ANSWER close the connection.
   */
  async send<Req, Res>(
    api: ApiMessages<Req, Res>,
    request: Req,
    options: SendOptions = {},
  ): Promise<Res> {
    const version = this.versionOf(api, options.maxVersion);
    if (version === null) {
      throw new ClientError(
        "UNSUPPORTED",
        `${this.#where} does not serve ${api.name} in a version this client speaks`,
      );
    }
    const frame = await this.#exchange(
      api,
      request,
      version,
      options.timeoutMs ?? this.#requestTimeoutMs,
    );
    return this.#decode(api, version, frame);
  }

  /** Sends a request of a version that the other side is known to serve, as `send` does otherwise. */
  async sendAt<Req, Res>(
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
    timeoutMs: number = this.#requestTimeoutMs,
  ): Promise<Res> {
    return this.#decode(api, version, await this.#exchange(api, request, version, timeoutMs));
  }

  /** Sends a whole frame that has no answer. @returns false when the connection has ended. */
  post(frame: Uint8Array): boolean {
    if (this.#failure !== null) return false;
    this.#socket.write(frame);
    return true;
  }

  /** Bytes that wait because the other side takes none. */
  get unsentBytes(): number {
    return this.#socket.unsentBytes;
  }

  /** Sends a request that has no answer (Produce with acks 0); settles when the bytes are handed over. */
  async sendUnanswered<Req, Res>(
    api: ApiMessages<Req, Res>,
    request: Req,
    options: SendOptions = {},
  ): Promise<void> {
    const version = this.versionOf(api, options.maxVersion);
    if (version === null) throw new ClientError("UNSUPPORTED", `${this.#where}: ${api.name}`);
    if (this.#failure !== null) throw this.#failure;
    const bytes = this.#encode(api, request, version, this.#nextCorrelationId++);
    this.#socket.write(bytes);
    await this.#socket.sent();
    if (this.#failure !== null) throw this.#failure;
  }

  /** Says that nobody looks at the bytes of the last answer any more, so that the next one may take its place in memory. */
  recycle(): void {
    this.#socket.recycle();
  }

  /** Ends the connection; requests in flight fail. */
  close(): void {
    this.#fail("CONNECTION_CLOSED", `the connection to ${this.#where} was closed`);
  }

  get #where(): string {
    return formatAddress(this.address);
  }

  async #negotiate(timeoutMs: number): Promise<void> {
    const request = makeApiVersionsRequest({
      clientSoftwareName: "sluice",
      clientSoftwareVersion: "1",
    });
    let version = CLIENT_SOFTWARE_VERSION;
    let frame = await this.#exchange(ApiVersionsApi, request, version, timeoutMs);
    // A broker that does not know the version answers in version 0, with this error.
    if (new Reader(frame, SIZE_BYTES).int16() === UNSUPPORTED_VERSION) {
      version = 0;
      frame = await this.#exchange(ApiVersionsApi, makeApiVersionsRequest(), version, timeoutMs);
    }
    const answer = this.#decode(ApiVersionsApi, version, frame);
    for (const { apiKey, minVersion, maxVersion } of answer.apiKeys) {
      this.#versions.set(apiKey, { min: minVersion, max: maxVersion });
    }
  }

  #encode<Req>(
    api: ApiMessages<Req, unknown>,
    request: Req,
    version: number,
    correlationId: number,
  ): Uint8Array {
    const writer = new Writer(256);
    writer.int32(0);
    encodeRequestHeader(writer, {
      apiKey: api.key,
      apiVersion: version,
      correlationId,
      clientId: this.#clientId,
    });
    api.request.encode(writer, request, version);
    const bytes = writer.toBytes();
    new DataView(bytes.buffer, bytes.byteOffset).setInt32(0, bytes.length - SIZE_BYTES);
    return bytes;
  }

  #exchange<Req>(
    api: ApiMessages<Req, unknown>,
    request: Req,
    version: number,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const correlationId = this.#nextCorrelationId++;
    const bytes = this.#encode(api, request, version, correlationId);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(
          "TIMED_OUT",
          `${this.#where} did not answer ${api.name} within ${timeoutMs / 1000} s`,
        );
      }, timeoutMs);
      this.#waiting.push({ correlationId, name: api.name, timer, resolve, reject });
      this.#socket.write(bytes);
    });
  }

  #decode<Req, Res>(api: ApiMessages<Req, Res>, version: number, frame: Uint8Array): Res {
    const reader = new Reader(frame);
    decodeResponseHeader(reader, api.key, version);
    const answer = api.response.decode(reader, version);
    if (reader.failure === null) return answer;
    const message = `${this.#where} answered ${api.name} with something else: ${reader.failure}`;
    this.#fail("BAD_ANSWER", message);
    throw new ClientError("BAD_ANSWER", message);
  }

  /** @internal */
  onBadSize(bytes: number): void {
    this.#fail(
      "BAD_ANSWER",
      `${this.#where} does not speak Kafka's protocol: it announced an answer of ${bytes} bytes`,
    );
  }

  /** @internal */
  onClosed(reason: string | null): void {
    this.#fail("CONNECTION_CLOSED", reason ?? `${this.#where} closed the connection`);
  }

  /** @internal */
  onFrame(frame: Uint8Array): void {
    if (frame.length < CORRELATION_ID_BYTES) return this.onBadSize(frame.length);
    const waiting = this.#waiting.shift();
    const correlationId = new Reader(frame).int32();
    if (waiting?.correlationId !== correlationId) {
      if (waiting !== undefined) this.#waiting.unshift(waiting);
      this.#fail("BAD_ANSWER", `${this.#where} answered a request that was not asked next`);
      return;
    }
    clearTimeout(waiting.timer);
    waiting.resolve(frame);
  }

  #fail(code: "TIMED_OUT" | "CONNECTION_CLOSED" | "BAD_ANSWER", message: string): void {
    if (this.#failure !== null) return;
    const failure = new ClientError(code, message);
    this.#failure = failure;
    this.#socket.destroy();
    for (const { timer, name, reject } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(
        code === "CONNECTION_CLOSED"
          ? new ClientError(code, `${message} while ${name} was waiting for its answer`)
          : failure,
      );
    }
    this.#onClose?.(failure);
  }
}

async function openSocket(
  address: Address,
  timeoutMs: number,
  options: ConnectionOptions,
): Promise<FrameSocket> {
  const where = formatAddress(address);
  let socket: FrameSocket | null;
  try {
    socket = await FrameSocket.open(address, timeoutMs, {
      maxFrameBytes: options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES,
      receiver: options.receiver ?? null,
      readiness: options.readiness ?? null,
      configure: options.configure,
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const message = `cannot connect to ${where}: ${reasonOf(error)}`;
    throw new ClientError("UNREACHABLE", message, 0, error);
  }
  if (socket !== null) return socket;
  throw new ClientError("TIMED_OUT", `no connection to ${where} within ${timeoutMs / 1000} s`);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "the name does not resolve",
  EAI_AGAIN: "the name does not resolve at the moment",
  DNS_ENOTFOUND: "the name does not resolve",
  ENETUNREACH: "the network is unreachable",
  EHOSTUNREACH: "the host is unreachable",
  ECONNRESET: "the connection was reset",
};

function reasonOf(error: Error): string {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return REASONS[code] ?? error.message;
}
