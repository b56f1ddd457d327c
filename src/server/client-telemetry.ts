/**
 * Metrics that clients push (KIP-714): who may push what and how often, from the subscriptions an administrator made.
 *
 * A client instance asks for its subscription (GetTelemetrySubscriptions), is told which metrics are wanted, how often, and an id of
 * just that; its pushes (PushTelemetry) name the id. When subscriptions change, ids change, and the client asks again. What is pushed is
 * inflated within bounds, counted and let go. Instances are kept in memory, the least recent making room, as in Kafka.
 */
import { ErrorCode } from "#common/error-code.ts";
import { javaHashMapOrder, javaStringHash } from "#common/java-hash.ts";
import type { Random } from "#common/time.ts";
import { ONE_UUID, ZERO_UUID } from "#common/uuid.ts";
import {
  type ClientMetricsSubscription,
  clientMetricsSubscription,
  type MatchSubject,
} from "#config/client-metrics-config.ts";
import { type ClusterImage, resourcesOf, ResourceType } from "#metadata/cluster-image.ts";
import type { GetTelemetrySubscriptionsResponse } from "#protocol/generated/get-telemetry-subscriptions.ts";
import { makeGetTelemetrySubscriptionsResponse } from "#protocol/generated/get-telemetry-subscriptions.ts";
import type { PushTelemetryRequest } from "#protocol/generated/push-telemetry.ts";
import { Compression } from "#protocol/records/record-batch.ts";
import type { Decompressor } from "#protocol/records/record-batch.ts";
import type { RequestContext } from "./handler.ts";
import { countMetrics } from "./otlp-metrics.ts";

/** Instances kept at a time. */
const MAX_INSTANCES = 16_384;
/** An instance is forgotten after this long without a request, or three intervals if that is longer. */
const MIN_EXPIRY_MS = 60_000;
/** Between pushes of a client that matches no subscription, and the most between any. */
const DEFAULT_INTERVAL_MS = 300_000;
/** How much larger than `telemetry.max.bytes` a push may be once inflated. */
const MAX_INFLATION = 16;
/** In Kafka's order of preference. */
const COMPRESSIONS = [Compression.ZSTD, Compression.LZ4, Compression.GZIP, Compression.SNAPPY];
const ALL_METRICS = "*";

/** What the telemetry works with. */
export interface ClientTelemetryDependencies {
  image(): ClusterImage;
  /** Monotonic milliseconds. */
  monotonicMs(): number;
  readonly random: Random;
  /** `telemetry.max.bytes`. */
  readonly telemetryMaxBytes: number;
  readonly decompressor: Decompressor;
  /** Whether a pattern matches the whole of a text. */
  isMatch(pattern: string, text: string): boolean;
}

/** How a push fared. */
export type PushResult =
  | "accepted"
  | "invalid"
  | "throttled"
  | "unknown_subscription"
  | "unsupported_compression"
  | "too_large"
  | "unreadable";

/** What was counted since the start. */
export interface ClientTelemetryStatistics {
  readonly instanceCount: number;
  readonly subscriptionRequestCount: number;
  readonly pushesByResult: ReadonlyMap<PushResult, number>;
  /** Bytes of accepted pushes, as they came. */
  readonly receivedBytes: number;
  /** Metrics in accepted pushes. */
  readonly metricCount: number;
}

/** What an instance is told to push. Never modified, shared by all instances that match the same subscriptions. */
interface Wanted {
  readonly metrics: readonly string[];
  readonly intervalMs: number;
}

interface Instance {
  readonly id: string;
  readonly wanted: Wanted;
  readonly subscriptionId: number;
  readonly version: number;
  lastGetMs: number;
  lastPushMs: number;
  /** Monotonic time of the last request of any kind. */
  lastSeenMs: number;
  lastError: number;
  isTerminating: boolean;
}

const ERROR_OF: Readonly<Record<PushResult, number>> = {
  accepted: ErrorCode.NONE,
  invalid: ErrorCode.INVALID_REQUEST,
  throttled: ErrorCode.THROTTLING_QUOTA_EXCEEDED,
  unknown_subscription: ErrorCode.UNKNOWN_SUBSCRIPTION_ID,
  unsupported_compression: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  too_large: ErrorCode.TELEMETRY_TOO_LARGE,
  unreadable: ErrorCode.INVALID_RECORD,
};

/** Errors after which a client may ask for its subscription before its time. */
const ASK_AGAIN: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_SUBSCRIPTION_ID,
  ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
]);

/** See the head of the file. */
export class ClientTelemetry {
  readonly #deps: ClientTelemetryDependencies;
  /** Least recently seen first. */
  readonly #instances = new Map<string, Instance>();
  #configs: ClusterImage["configs"] | null = null;
  #stored: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map();
  #subscriptions: readonly ClientMetricsSubscription[] = [];
  /** Counts changes of the subscriptions. */
  #version = 0;
  /** By the positions of the subscriptions that match; of this version. */
  readonly #wanted = new Map<string, Wanted>();
  readonly #pushes = new Map<PushResult, number>();
  #subscriptionRequestCount = 0;
  #receivedBytes = 0;
  #metricCount = 0;

  constructor(deps: ClientTelemetryDependencies) {
    this.#deps = deps;
  }

  /** What was counted. */
  statistics(): ClientTelemetryStatistics {
    return {
      instanceCount: this.#instances.size,
      subscriptionRequestCount: this.#subscriptionRequestCount,
      pushesByResult: this.#pushes,
      receivedBytes: this.#receivedBytes,
      metricCount: this.#metricCount,
    };
  }

  /** Serves GetTelemetrySubscriptions. The zero id asks for one. */
  subscribe(clientInstanceId: string, context: RequestContext): GetTelemetrySubscriptionsResponse {
    this.#subscriptionRequestCount += 1;
    const nowMs = this.#deps.monotonicMs();
    const id = clientInstanceId === ZERO_UUID ? this.#newId() : clientInstanceId;
    const instance = this.#instance(id, context, nowMs);
    const { intervalMs, metrics } = instance.wanted;
    const isInTime = nowMs - Math.max(instance.lastGetMs, instance.lastPushMs) >= intervalMs;
    if (isInTime) instance.lastGetMs = nowMs;
    else if (!ASK_AGAIN.has(instance.lastError)) {
      return makeGetTelemetrySubscriptionsResponse({
        errorCode: ErrorCode.THROTTLING_QUOTA_EXCEEDED,
      });
    }
    instance.lastError = ErrorCode.NONE;
    return makeGetTelemetrySubscriptionsResponse({
      clientInstanceId: id,
      subscriptionId: instance.subscriptionId,
      acceptedCompressionTypes: COMPRESSIONS,
      pushIntervalMs: intervalMs,
      telemetryMaxBytes: this.#deps.telemetryMaxBytes,
      deltaTemporality: true,
      requestedMetrics: [...metrics],
    });
  }

  /** Serves PushTelemetry: the error code of its answer. */
  push(request: PushTelemetryRequest, context: RequestContext): number {
    const result = this.#judge(request, context);
    this.#pushes.set(result, (this.#pushes.get(result) ?? 0) + 1);
    return ERROR_OF[result];
  }

  #judge(request: PushTelemetryRequest, context: RequestContext): PushResult {
    const { clientInstanceId, metrics } = request;
    if (clientInstanceId === ZERO_UUID || clientInstanceId === ONE_UUID) return "invalid";
    const nowMs = this.#deps.monotonicMs();
    const instance = this.#instance(clientInstanceId, context, nowMs);
    const fault = this.#faultOf(request, instance, nowMs);
    instance.isTerminating = request.terminating;
    const result = fault ?? (metrics.length === 0 ? "accepted" : this.#take(request));
    instance.lastError = ERROR_OF[result];
    return result;
  }

  /** What is wrong with a push before anybody looks at its metrics. */
  #faultOf(request: PushTelemetryRequest, instance: Instance, nowMs: number): PushResult | null {
    if (instance.isTerminating) return "invalid";
    // The first push after a subscription may come at any time: clients spread theirs.
    const isInTime =
      instance.lastGetMs > instance.lastPushMs ||
      nowMs - instance.lastPushMs >= instance.wanted.intervalMs;
    if (isInTime) instance.lastPushMs = nowMs;
    else if (!request.terminating) return "throttled";
    if (request.subscriptionId !== instance.subscriptionId) return "unknown_subscription";
    const { compressionType, metrics } = request;
    const isCompressed = COMPRESSIONS.some((codec) => codec === compressionType);
    if (!isCompressed && compressionType !== Compression.NONE) return "unsupported_compression";
    return metrics.length > this.#deps.telemetryMaxBytes ? "too_large" : null;
  }

  /** Inflates and counts. Metrics that are no OpenTelemetry message are taken and count as none, as Kafka takes them. */
  #take({ compressionType, metrics }: PushTelemetryRequest): PushResult {
    const { decompressor, telemetryMaxBytes } = this.#deps;
    const bytes =
      compressionType === Compression.NONE
        ? metrics
        : decompressor.decompress(compressionType, metrics, telemetryMaxBytes * MAX_INFLATION);
    if (bytes === null) return "unreadable";
    this.#receivedBytes += metrics.length;
    this.#metricCount += countMetrics(bytes) ?? 0;
    return "accepted";
  }

  #newId(): string {
    let id = this.#deps.random.uuid();
    while (this.#instances.has(id)) id = this.#deps.random.uuid();
    return id;
  }

  /** The instance of an id, made or made anew where it is unknown, forgotten or of older subscriptions. */
  #instance(id: string, context: RequestContext, nowMs: number): Instance {
    this.#refreshSubscriptions();
    this.#forget(nowMs, this.#instances.has(id) ? MAX_INSTANCES : MAX_INSTANCES - 1);
    const known = this.#instances.get(id);
    const instance =
      known?.version === this.#version ? known : this.#makeInstance(id, context, nowMs);
    instance.lastSeenMs = nowMs;
    this.#instances.delete(id);
    this.#instances.set(id, instance);
    return instance;
  }

  #makeInstance(id: string, context: RequestContext, nowMs: number): Instance {
    const wanted = this.#wantedOf(id, context);
    return {
      id,
      wanted,
      subscriptionId:
        javaStringHash(`[${wanted.metrics.join(", ")}]${wanted.intervalMs}`) ^ javaStringHash(id),
      version: this.#version,
      lastGetMs: Number.NEGATIVE_INFINITY,
      lastPushMs: Number.NEGATIVE_INFINITY,
      lastSeenMs: nowMs,
      lastError: ErrorCode.NONE,
      isTerminating: false,
    };
  }

  /** Lets go of instances that are silent for too long, the most silent first, and of those beyond `keptCount`. */
  #forget(nowMs: number, keptCount: number): void {
    for (const [id, { lastSeenMs, wanted }] of this.#instances) {
      const isExpired = nowMs - lastSeenMs > Math.max(MIN_EXPIRY_MS, wanted.intervalMs * 3);
      if (!isExpired && this.#instances.size <= keptCount) return;
      this.#instances.delete(id);
    }
  }

  #wantedOf(id: string, { clientId, connection }: RequestContext): Wanted {
    const subjects: Readonly<Record<MatchSubject, string>> = {
      client_instance_id: id,
      client_id: clientId ?? "",
      client_software_name: connection.clientSoftwareName,
      client_software_version: connection.clientSoftwareVersion,
      client_source_address: connection.clientHost,
      client_source_port: String(connection.clientPort),
    };
    const matching = this.#subscriptions.filter(({ match }) =>
      [...match].every(([subject, pattern]) => this.#deps.isMatch(pattern, subjects[subject])),
    );
    const key = matching.map((subscription) => this.#subscriptions.indexOf(subscription)).join();
    let wanted = this.#wanted.get(key);
    if (wanted === undefined) {
      wanted = combine(matching);
      this.#wanted.set(key, wanted);
    }
    return wanted;
  }

  /** Takes up what the newest image says of subscriptions. */
  #refreshSubscriptions(): void {
    const image = this.#deps.image();
    if (image.configs === this.#configs) return;
    this.#configs = image.configs;
    const stored = resourcesOf(image, ResourceType.CLIENT_METRICS);
    const isSame =
      stored.size === this.#stored.size &&
      [...stored].every(([name, values]) => this.#stored.get(name) === values);
    if (isSame) return;
    this.#stored = stored;
    this.#subscriptions = [...stored].map(([name, values]) =>
      clientMetricsSubscription(name, values),
    );
    this.#version += 1;
    this.#wanted.clear();
  }
}

/** What several subscriptions ask for together. */
function combine(subscriptions: readonly ClientMetricsSubscription[]): Wanted {
  const metrics = new Set(subscriptions.flatMap((subscription) => subscription.metrics));
  const names = metrics.has(ALL_METRICS) ? [ALL_METRICS] : [...metrics];
  return {
    metrics: javaHashMapOrder(names.map((name) => ({ name }))).map(({ name }) => name),
    intervalMs: Math.min(DEFAULT_INTERVAL_MS, ...subscriptions.map(({ intervalMs }) => intervalMs)),
  };
}
