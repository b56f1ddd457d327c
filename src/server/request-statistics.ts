/**
 * What one event loop counts of its requests: by API how many, how large, how they ended and how long they took. Arrays indexed by
 * numbers that are at hand anyway, so that counting is a few increments and allocates nothing.
 *
 * Times are split as Kafka splits them. A request answered at once has one time. One that waits (a produce for its flush, a
 * fetch for data, a join for its group) has three: total, of it *local* time on this loop, of it *waiting*. Requests answered
 * at once are recorded once and count as both total and local.
 */
import { addLatency, LatencyHistograms, type LatencySnapshot } from "#common/latency-histogram.ts";
import { ResponseErrors } from "./response-errors.ts";

/** API keys are below this. */
const API_KEYS = 128;
/** Versions are below this. */
const VERSIONS = 32;
/** Error codes are from -1 to below this minus one. */
const ERROR_CODES = 160;

/** Why a request was not served at all and its connection closed. */
export const UNREADABLE_REASONS = ["header", "unknown-api", "version", "body"] as const;

/** See {@link UNREADABLE_REASONS}. */
export type UnreadableReason = (typeof UNREADABLE_REASONS)[number];

/** Counters of a dispatcher; its fields are bumped in place. */
export class RequestStatistics {
  /** Requests by API key and version: `key * 32 + version`. */
  readonly #requests: Float64Array = new Float64Array(API_KEYS * VERSIONS);
  /** Bytes of requests and replies with their size prefixes, by API key. */
  readonly #requestBytes: Float64Array = new Float64Array(API_KEYS);
  readonly #replyBytes: Float64Array = new Float64Array(API_KEYS);
  /** By API key and code: `key * 160 + code + 1`. */
  readonly #errors: Float64Array = new Float64Array(API_KEYS * ERROR_CODES);
  readonly #atOnce: LatencyHistograms = new LatencyHistograms(API_KEYS);
  readonly #waitedTotal: LatencyHistograms = new LatencyHistograms(API_KEYS);
  readonly #waitedLocal: LatencyHistograms = new LatencyHistograms(API_KEYS);
  readonly #waits: LatencyHistograms = new LatencyHistograms(API_KEYS);
  readonly #unreadable: Float64Array = new Float64Array(UNREADABLE_REASONS.length);
  readonly #responseErrors: ResponseErrors = new ResponseErrors((apiKey, errorCode) => {
    const at = apiKey * ERROR_CODES + errorCode + 1;
    if (errorCode < ERROR_CODES - 1) this.#errors[at] = (this.#errors[at] as number) + 1;
  });
  /** Requests whose handler failed or gave no answer; their connections were closed. */
  failedCount = 0;

  /** A request whose header was read. `bytes` without the size prefix. */
  begin(apiKey: number, apiVersion: number, bytes: number): void {
    const at = apiKey * VERSIONS + apiVersion;
    this.#requests[at] = (this.#requests[at] as number) + 1;
    this.#requestBytes[apiKey] = (this.#requestBytes[apiKey] as number) + bytes + 4;
  }

  /** A frame that is no request we serve. */
  unreadable(reason: UnreadableReason): void {
    const at = UNREADABLE_REASONS.indexOf(reason);
    this.#unreadable[at] = (this.#unreadable[at] as number) + 1;
  }

  /** The response of a request, before it is encoded. */
  response(apiKey: number, response: unknown): void {
    this.#responseErrors.count(apiKey, response);
  }

  /** Bytes of a reply, with its size prefix and file slices. */
  reply(apiKey: number, bytes: number): void {
    this.#replyBytes[apiKey] = (this.#replyBytes[apiKey] as number) + bytes;
  }

  /** A request answered within the call that brought it. */
  answeredAtOnce(apiKey: number, totalMs: number): void {
    this.#atOnce.record(apiKey, totalMs);
  }

  /** A request that waited for something. */
  answeredAfterWait(apiKey: number, totalMs: number, waitMs: number): void {
    this.#waitedTotal.record(apiKey, totalMs);
    this.#waitedLocal.record(apiKey, totalMs - waitMs);
    this.#waits.record(apiKey, waitMs);
  }

  /** Adds requests that were served and counted elsewhere: the columns of one API of a fast lane. */
  addServed(apiKey: number, served: ServedRequests): void {
    for (const [version, count] of served.versions.entries()) {
      const at = apiKey * VERSIONS + version;
      this.#requests[at] = (this.#requests[at] as number) + count;
    }
    this.#requestBytes[apiKey] = (this.#requestBytes[apiKey] as number) + served.requestBytes;
    this.#replyBytes[apiKey] = (this.#replyBytes[apiKey] as number) + served.replyBytes;
    for (const [code, count] of served.errors) {
      const at = apiKey * ERROR_CODES + code + 1;
      this.#errors[at] = (this.#errors[at] as number) + count;
    }
    this.#atOnce.add(apiKey, served.latencyCounts, served.latencySumMs);
  }

  /** What was counted so far, APIs that were never called left out. */
  snapshot(): RequestSnapshot {
    const apis: ApiSnapshot[] = [];
    for (let apiKey = 0; apiKey < API_KEYS; apiKey++) {
      const versions: [number, number][] = [];
      for (let version = 0; version < VERSIONS; version++) {
        const count = this.#requests[apiKey * VERSIONS + version] as number;
        if (count > 0) versions.push([version, count]);
      }
      if (versions.length === 0) continue;
      const errors: [number, number][] = [];
      for (let index = 0; index < ERROR_CODES; index++) {
        const count = this.#errors[apiKey * ERROR_CODES + index] as number;
        if (count > 0) errors.push([index - 1, count]);
      }
      const atOnce = this.#atOnce.snapshot(apiKey);
      apis.push({
        apiKey,
        versions,
        errors,
        requestBytes: this.#requestBytes[apiKey] as number,
        replyBytes: this.#replyBytes[apiKey] as number,
        total: addLatency(atOnce, this.#waitedTotal.snapshot(apiKey)),
        local: addLatency(atOnce, this.#waitedLocal.snapshot(apiKey)),
        wait: this.#waits.snapshot(apiKey),
      });
    }
    const unreadable = UNREADABLE_REASONS.map((reason, index): [UnreadableReason, number] => [
      reason,
      this.#unreadable[index] as number,
    ]);
    return { apis, unreadable, failedCount: this.failedCount };
  }
}

/** Requests of one API, all answered at once. */
export interface ServedRequests {
  /** By version. */
  readonly versions: Float64Array;
  /** With size prefixes, as are replies. */
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly latencySumMs: number;
  readonly latencyCounts: Float64Array;
  /** Partitions answered with an error, by its code. */
  readonly errors: readonly (readonly [number, number])[];
}

/** Requests of one event loop at a moment; plain data. */
export interface RequestSnapshot {
  readonly apis: readonly ApiSnapshot[];
  readonly unreadable: readonly (readonly [UnreadableReason, number])[];
  readonly failedCount: number;
}

/** Requests of one API. */
export interface ApiSnapshot {
  readonly apiKey: number;
  /** Pairs of version and count. */
  readonly versions: readonly (readonly [number, number])[];
  /** Pairs of error code and count. */
  readonly errors: readonly (readonly [number, number])[];
  readonly requestBytes: number;
  readonly replyBytes: number;
  /** From the complete frame to the reply that goes to the connection; null when no request was answered yet. */
  readonly total: LatencySnapshot | null;
  /** Of it, on this loop. */
  readonly local: LatencySnapshot | null;
  /** Of it, waiting; requests that did not wait are not in it. */
  readonly wait: LatencySnapshot | null;
}
