/**
 * Turns a response into a frame: size, header, body. Record slices that are small, or that cannot be sent from their
 * file on this connection, are copied into the frame; the others leave from the file.
 *
 * One buffer serves all replies of a loop, so a frame made here must be used (sent or copied) before the next one.
 */
import type { ApiMessages } from "#protocol/api.ts";
import { Writer } from "#protocol/codec/writer.ts";
import type { SlicedReply } from "#transport/ports.ts";
import { API_VERSIONS_KEY } from "./request-header.ts";

const SIZE_PREFIX_BYTES = 4;
/** Slices up to this size are copied: a thread hand-over costs more than copying them. */
const COPY_BYTES_MAX = 64 * 1024;
const SCRATCH_BYTES = COPY_BYTES_MAX + 64 * 1024;

/** Copies the slices of a plan. */
export interface SliceSource {
  /** Copies a row's slices to `into` at `at`. @returns bytes copied, fewer than planned only when the file failed. */
  planCopy(plan: number, row: number, into: Uint8Array, at: number): number;
  planDrop(plan: number): void;
}

/** Encodes the replies of one event loop. */
export class ReplyEncoder {
  readonly #writer: Writer = new Writer(16 * 1024);
  readonly #slices: SliceSource;
  #scratch: Uint8Array | null = null;

  constructor(slices: SliceSource) {
    this.#slices = slices;
  }

  /** A whole frame; the view is valid until the next call. @throws EncodeError for a response that the version cannot carry. */
  encode(
    api: ApiMessages<never, unknown>,
    version: number,
    correlationId: number,
    response: unknown,
  ): Uint8Array {
    const writer = this.#writer;
    this.#encodeParts(api, version, correlationId, response);
    const bytes = writer.bytes();
    writeInt32(bytes, 0, bytes.length - SIZE_PREFIX_BYTES);
    return bytes;
  }

  /**
   * A frame whose record bytes are in a plan: a whole frame when they were copied (the plan is then used up), or a
   * reply that sends them from the file (and owns the plan). Null when the file could not be read; the plan is dropped.
   */
  encodeSliced(
    api: ApiMessages<never, unknown>,
    version: number,
    correlationId: number,
    response: unknown,
    plan: number,
    slicesBytes: number,
    canSendSlices: boolean,
  ): Uint8Array | SlicedReply | null {
    const writer = this.#writer;
    this.#encodeParts(api, version, correlationId, response);
    const head = writer.bytes();
    writeInt32(head, 0, head.length - SIZE_PREFIX_BYTES + slicesBytes);
    if (canSendSlices && slicesBytes > COPY_BYTES_MAX) {
      return { head: head.slice(), cuts: Float64Array.from(writer.cuts), plan, slicesBytes };
    }
    return this.#join(head, plan, slicesBytes);
  }

  /** Gives up a plan. */
  drop(plan: number): void {
    this.#slices.planDrop(plan);
  }

  #encodeParts(
    api: ApiMessages<never, unknown>,
    version: number,
    correlationId: number,
    response: unknown,
  ): void {
    const writer = this.#writer;
    writer.reset();
    writer.int32(0);
    writer.int32(correlationId);
    // ApiVersions answers clients that do not know yet what the broker speaks: its header never became flexible.
    if (version >= api.firstFlexibleVersion && api.key !== API_VERSIONS_KEY) writer.int8(0);
    api.response.encode(writer, response, version);
  }

  #join(head: Uint8Array, plan: number, slicesBytes: number): Uint8Array | null {
    const frameBytes = head.length + slicesBytes;
    let frame: Uint8Array;
    if (frameBytes <= SCRATCH_BYTES) {
      this.#scratch ??= new Uint8Array(SCRATCH_BYTES);
      frame = this.#scratch;
    } else frame = new Uint8Array(frameBytes);
    const cuts = this.#writer.cuts;
    let from = 0;
    let at = 0;
    for (let index = 0; index < cuts.length; index += 2) {
      const position = cuts[index] as number;
      frame.set(head.subarray(from, position), at);
      at += position - from;
      from = position;
      at += this.#slices.planCopy(plan, cuts[index + 1] as number, frame, at);
    }
    this.#slices.planDrop(plan);
    frame.set(head.subarray(from), at);
    at += head.length - from;
    if (at !== frameBytes) return null;
    return frame.length === frameBytes ? frame : frame.subarray(0, frameBytes);
  }
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
