/**
 * Telemetry of clients, step by step as Kafka 4.4.0 answered it: a transcript of the same requests at the same times.
 */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "bun";
import { ONE_UUID, ZERO_UUID } from "#common/uuid.ts";
import { EMPTY_IMAGE, resourceKey, ResourceType } from "#metadata/cluster-image.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { makePushTelemetryRequest } from "#protocol/generated/push-telemetry.ts";
import type { PushTelemetryRequest } from "#protocol/generated/push-telemetry.ts";
import { ClientTelemetry } from "#server/client-telemetry.ts";
import { countMetrics } from "#server/otlp-metrics.ts";
import { contextOf, CountingRandom } from "../controller/cluster-fixture.ts";

type Subscriptions = Readonly<Record<string, Readonly<Record<string, string>>>>;

function imageWith(subscriptions: Subscriptions): ClusterImage {
  const configs = new Map(
    Object.entries(subscriptions).map(([name, values]) => [
      resourceKey(ResourceType.CLIENT_METRICS, name),
      new Map(Object.entries(values)),
    ]),
  );
  return { ...EMPTY_IMAGE, configs };
}

class Scene {
  image: ClusterImage;
  nowMs = 1_000;
  readonly telemetry: ClientTelemetry;

  constructor(subscriptions: Subscriptions) {
    this.image = imageWith(subscriptions);
    this.telemetry = new ClientTelemetry({
      image: () => this.image,
      monotonicMs: () => this.nowMs,
      random: new CountingRandom(),
      telemetryMaxBytes: 1_000,
      decompressor: {
        decompress: (_codec, block, maxBytes) => {
          try {
            const bytes = Bun.gunzipSync(new Uint8Array(block));
            return bytes.length > maxBytes ? null : bytes;
          } catch {
            return null;
          }
        },
      },
      isMatch: (pattern, text) => new RegExp(`^(?:${pattern})$`).test(text),
    });
  }

  get(id: string): ReturnType<ClientTelemetry["subscribe"]> {
    return this.telemetry.subscribe(id, contextOf(0));
  }

  push(id: string, subscriptionId: number, init: Partial<PushTelemetryRequest> = {}): number {
    const request = makePushTelemetryRequest({ clientInstanceId: id, subscriptionId, ...init });
    return this.telemetry.push(request, contextOf(0));
  }
}

const ONE_SECOND = { one: { "interval.ms": "1000", metrics: "org.apache.,foo" } };

describe("subscriptions", () => {
  test("are put together from all that match, everything winning", () => {
    const scene = new Scene({
      a: { "interval.ms": "1000", metrics: "org.apache.,foo" },
      b: { "interval.ms": "5000", metrics: "foo,bar" },
      other: { "interval.ms": "100", metrics: "*", match: "client_source_port=1" },
    });
    const answer = scene.get(ZERO_UUID);
    expect(answer).toMatchObject({
      errorCode: 0,
      pushIntervalMs: 1000,
      requestedMetrics: ["bar", "foo", "org.apache."],
      acceptedCompressionTypes: [4, 3, 1, 2],
      deltaTemporality: true,
      telemetryMaxBytes: 1000,
    });
    scene.image = imageWith({ all: { metrics: "*,foo", match: "client_source_address=10\\..*" } });
    expect(scene.get(answer.clientInstanceId)).toMatchObject({
      errorCode: 0,
      pushIntervalMs: 300_000,
      requestedMetrics: ["*"],
    });
  });

  test("nobody's client is told to wait long and push nothing", () => {
    expect(new Scene({}).get(ZERO_UUID)).toMatchObject({
      errorCode: 0,
      pushIntervalMs: 300_000,
      requestedMetrics: [],
    });
  });

  test("are told once an interval, and at once when they changed", () => {
    const scene = new Scene(ONE_SECOND);
    const { clientInstanceId, subscriptionId } = scene.get(ZERO_UUID);
    expect(scene.get(clientInstanceId)).toMatchObject({
      errorCode: 89,
      clientInstanceId: ZERO_UUID,
      subscriptionId: 0,
      pushIntervalMs: 0,
    });
    scene.nowMs += 1000;
    expect(scene.get(clientInstanceId)).toMatchObject({ errorCode: 0, subscriptionId });
    scene.image = imageWith({ one: { "interval.ms": "500", metrics: "foo" } });
    const changed = scene.get(clientInstanceId);
    expect(changed).toMatchObject({ errorCode: 0, pushIntervalMs: 500 });
    expect(changed.subscriptionId).not.toBe(subscriptionId);
  });
});

describe("pushes", () => {
  test("fare as on Kafka", () => {
    const scene = new Scene(ONE_SECOND);
    const { clientInstanceId: id, subscriptionId } = scene.get(ZERO_UUID);
    expect(scene.push(id, subscriptionId + 1)).toBe(117);
    expect(scene.get(id).errorCode).toBe(0);
    expect(scene.push(id, subscriptionId)).toBe(89);
    const later = (init: Partial<PushTelemetryRequest>): number => {
      scene.nowMs += 1000;
      return scene.push(id, subscriptionId, init);
    };
    expect(later({ compressionType: 9 })).toBe(76);
    expect(later({ compressionType: -1 })).toBe(76);
    expect(later({ metrics: new Uint8Array([255, 255, 255]) })).toBe(0);
    expect(later({ compressionType: 1, metrics: new Uint8Array([255]) })).toBe(87);
    expect(later({ metrics: new Uint8Array(1001) })).toBe(118);
    expect(later({ metrics: new Uint8Array(1000) })).toBe(0);
    expect(scene.push(id, subscriptionId, { terminating: true })).toBe(0);
    expect(scene.push(id, subscriptionId, { terminating: true })).toBe(42);
    expect(scene.push(ZERO_UUID, subscriptionId)).toBe(42);
    expect(scene.push(ONE_UUID, subscriptionId)).toBe(42);
    expect(scene.push("AAAAAAAAAAAAAAAAAAAAAg", subscriptionId)).toBe(117);
  });

  test("are inflated within bounds and counted", () => {
    const scene = new Scene(ONE_SECOND);
    const { clientInstanceId: id, subscriptionId } = scene.get(ZERO_UUID);
    // Two resources: one with two metrics in one scope, one with an unknown field only.
    const metric = [0x12, 0x03, 0x0a, 0x01, 0x61];
    const scope = [0x12, 10, ...metric, ...metric];
    const message = new Uint8Array([0x0a, scope.length, ...scope, 0x0a, 2, 0x08, 0x01]);
    const push = (metrics: Uint8Array): number =>
      scene.push(id, subscriptionId, { compressionType: 1, metrics });
    expect(push(gzipSync(message))).toBe(0);
    scene.nowMs += 1000;
    expect(push(gzipSync(new Uint8Array(16_001)))).toBe(87);
    const { metricCount, pushesByResult, instanceCount } = scene.telemetry.statistics();
    expect(metricCount).toBe(2);
    expect(instanceCount).toBe(1);
    expect(Object.fromEntries(pushesByResult)).toEqual({ accepted: 1, unreadable: 1 });
  });
});

test("instances are forgotten: the silent ones in time, the least recent when there are too many", () => {
  const scene = new Scene(ONE_SECOND);
  const { clientInstanceId } = scene.get(ZERO_UUID);
  for (let made = 1; made < 16_384; made++) scene.get(ZERO_UUID);
  expect(scene.telemetry.statistics().instanceCount).toBe(16_384);
  expect(scene.get(clientInstanceId).errorCode).toBe(89);
  scene.get(ZERO_UUID);
  expect(scene.telemetry.statistics().instanceCount).toBe(16_384);
  scene.nowMs += 60_001;
  scene.get(ZERO_UUID);
  expect(scene.telemetry.statistics().instanceCount).toBe(1);
});

test("countMetrics refuses what is no message, at every cut", () => {
  const metric = [0x12, 0x03, 0x0a, 0x01, 0x61];
  const message = new Uint8Array([0x0a, 7, 0x12, 5, ...metric]);
  expect(countMetrics(message)).toBe(1);
  expect(countMetrics(new Uint8Array())).toBe(0);
  for (let cut = 1; cut < message.length; cut++) {
    expect(countMetrics(message.subarray(0, cut))).toBeNull();
  }
  expect(countMetrics(new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]))).toBeNull();
  expect(countMetrics(new Uint8Array(12).fill(0xff))).toBeNull();
  expect(countMetrics(new Uint8Array([0x0b]))).toBeNull();
});
