/**
 * Requests made ready, each asked once and judged here, then sent round and round by the load generator (`sluice-load replay`),
 * which only has to see that the same answer comes back. `replayHere` does the same in this process: for tests, where the
 * generator may not be built.
 */
import type { ApiMessages } from "#protocol/api.ts";
import { decodeAnswer, encodeFrame, Wire } from "../../test/differential/wire.ts";
import { CLIENT_ID } from "./members.ts";

/** One request with the answer that is right. */
export interface Exchange {
  /** What it counts for: offsets of a commit. */
  readonly records: number;
  /** Whole frame. */
  readonly request: Uint8Array;
  /** After the correlation id. */
  readonly answer: Uint8Array;
}

/** What each connection sends, in turn. */
export type Script = readonly (readonly Exchange[])[];

const CORRELATION_ID_BYTES = 4;

/**
 * Asks a request once and keeps both sides.
 *
 * @param judge - says what is wrong with the answer, or null.
 */
export async function record<Req, Res>(
  wire: Wire,
  api: ApiMessages<Req, Res>,
  version: number,
  request: Req,
  records: number,
  judge: (answer: Res) => string | null,
): Promise<Exchange> {
  const frame = encodeFrame(api, version, request, CLIENT_ID);
  const bytes = await wire.exchange(frame);
  const objection = judge(decodeAnswer(api, version, bytes));
  if (objection !== null) throw new Error(`${api.name}: ${objection}`);
  return { records, request: frame, answer: bytes.subarray(CORRELATION_ID_BYTES) };
}

/** The file that `sluice-load replay` reads; its layout is drawn in `bench/load/src/replay.rs`. */
export function encodeScript(script: Script): Uint8Array {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const block = (bytes: Uint8Array): Uint8Array[] => [number(bytes.length), bytes];
  return Buffer.concat([
    number(script.length),
    ...script.flatMap((exchanges) => [
      number(exchanges.length),
      ...exchanges.flatMap(({ records, request, answer }) => [
        number(records),
        ...block(request),
        ...block(answer),
      ]),
    ]),
  ]);
}

/** Sends each request of a script `rounds` times, a connection after the other's answer. @returns requests answered. */
export async function replayHere(
  bootstrap: string,
  script: Script,
  rounds: number,
): Promise<number> {
  const counts = await Promise.all(
    script.map(async (exchanges) => {
      using wire = await Wire.connect(bootstrap, CLIENT_ID);
      let count = 0;
      for (let round = 0; round < rounds; round++) {
        for (const { request, answer } of exchanges) {
          const bytes = await wire.exchange(request);
          if (Buffer.compare(bytes.subarray(CORRELATION_ID_BYTES), answer) !== 0)
            throw new Error("another answer came than the first time");
          count++;
        }
      }
      return count;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
