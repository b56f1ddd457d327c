/**
 * As much of an OpenTelemetry metrics message as it takes to count its metrics: a walk over protobuf fields that copies nothing.
 *
 * ```
 * MetricsData        1: ResourceMetrics *
 *   ResourceMetrics    2: ScopeMetrics *
 *     ScopeMetrics       2: Metric *
 * ```
 * @see https://opentelemetry.io/docs/specs/otlp/
 */

/** Field numbers on the way from the message to a metric. */
const PATH = [1, 2, 2];

/** Kinds of protobuf fields. */
const WireType = { VARINT: 0, FIXED64: 1, LENGTH: 2, FIXED32: 5 } as const;

/** How many metrics `bytes` hold, or null when they are no such message. */
export function countMetrics(bytes: Uint8Array): number | null {
  return countFields(bytes, 0, bytes.length, 0);
}

function countFields(bytes: Uint8Array, start: number, end: number, depth: number): number | null {
  let count = 0;
  let at = start;
  while (at < end) {
    const tag = readVarint(bytes, at, end);
    if (tag === null) return null;
    at = tag.next;
    const field = Math.floor(tag.value / 8);
    if (field === 0) return null;
    switch (tag.value % 8) {
      case WireType.VARINT: {
        const value = readVarint(bytes, at, end);
        if (value === null) return null;
        at = value.next;
        break;
      }
      case WireType.FIXED64:
        at += 8;
        break;
      case WireType.FIXED32:
        at += 4;
        break;
      case WireType.LENGTH: {
        const length = readVarint(bytes, at, end);
        if (length === null || length.value > end - length.next) return null;
        at = length.next + length.value;
        if (field !== PATH[depth]) break;
        const inner =
          depth === PATH.length - 1 ? 1 : countFields(bytes, length.next, at, depth + 1);
        if (inner === null) return null;
        count += inner;
        break;
      }
      default:
        return null;
    }
    if (at > end) return null;
  }
  return count;
}

/** A varint of at most ten bytes; values beyond 2^53 lose their lowest bits, which no length or tag here has. */
function readVarint(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly value: number; readonly next: number } | null {
  let value = 0;
  let unit = 1;
  for (let at = start; at < Math.min(end, start + 10); at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 127) * unit;
    if (byte < 128) return { value, next: at + 1 };
    unit *= 128;
  }
  return null;
}
