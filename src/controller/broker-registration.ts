/**
 * BrokerRegistration: a starting broker asks to be part of the cluster. It is registered fenced, in a new life that its epoch
 * names: the offset of the registration. A broker that did not say which life it closed in order may have lost records: it is out
 * of every ISR and eligible for nothing until it has caught up (KIP-966).
 *
 * - v0. v1: migration from ZooKeeper, never served. v2: log directories (KIP-858). v3: epoch of the life before (KIP-966). v4: feature
 *   ranges may begin at 0.
 *
 * @see KIP-631
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerImage, FeatureRange } from "#metadata/cluster-image.ts";
import { registerBrokerEntry } from "#metadata/image-records.ts";
import { makeBrokerRegistrationResponse } from "#protocol/generated/broker-registration.ts";
import type {
  BrokerRegistrationRequest,
  BrokerRegistrationResponse,
} from "#protocol/generated/broker-registration.ts";
import type { ClusterInput, Decision, DecisionInput } from "./decision.ts";
import { leaveRecords, uncleanShutdownRecords } from "./fencing.ts";
import { Plan } from "./plan.ts";

/** Directory ids below this one, as a number, stand for something else than a directory. */
const RESERVED_DIRECTORY_COUNT = 100;

/** Decides BrokerRegistration. */
export function decideBrokerRegistration(
  request: BrokerRegistrationRequest,
  input: DecisionInput,
  { clusterId, liveness }: ClusterInput,
  nowMs: number,
): Decision<BrokerRegistrationResponse> {
  const refused = (errorCode: number): Decision<BrokerRegistrationResponse> => ({
    response: refuseBrokerRegistration(errorCode),
    records: [],
  });
  if (request.clusterId !== clusterId) return refused(ErrorCode.INCONSISTENT_CLUSTER_ID);
  const before = input.image.brokers.get(request.brokerId);
  const isAmended = before?.incarnationId === request.incarnationId;
  if (
    before !== undefined &&
    !isAmended &&
    liveness.hasValidSession(before.id, before.epoch, nowMs)
  ) {
    return refused(ErrorCode.DUPLICATE_BROKER_REGISTRATION);
  }
  if (request.isMigratingZkBroker) return refused(ErrorCode.BROKER_ID_NOT_REGISTERED);
  if (!areDirectoriesRight(request, input)) return refused(ErrorCode.INVALID_REGISTRATION);
  const features = request.features.map(({ name, minSupportedVersion, maxSupportedVersion }) => ({
    name,
    min: minSupportedVersion,
    max: maxSupportedVersion,
  }));
  const supports = supportsLevels(features, input);
  if (supports !== null) return refused(supports);

  const plan = new Plan(input);
  const isClean = before !== undefined && before.epoch === request.previousBrokerEpoch;
  if (!isAmended) {
    plan.add(
      isClean
        ? leaveRecords(request.brokerId, input)
        : uncleanShutdownRecords(request.brokerId, input),
    );
  }
  const broker: BrokerImage = {
    id: request.brokerId,
    epoch: isAmended && before !== undefined ? before.epoch : plan.input.image.offset + 1,
    incarnationId: request.incarnationId,
    endpoints: request.listeners.map(({ name, host, port, securityProtocol }) => ({
      name,
      host,
      port,
      securityProtocol,
    })),
    features,
    rack: request.rack,
    isFenced: isAmended && before !== undefined ? before.isFenced : true,
    isInControlledShutdown: isAmended && before !== undefined && before.isInControlledShutdown,
    logDirs: [...request.logDirs],
    cordonedLogDirs: before?.cordonedLogDirs.filter((id) => request.logDirs.includes(id)) ?? [],
  };
  plan.add([registerBrokerEntry(broker)]);
  return {
    response: makeBrokerRegistrationResponse({ brokerEpoch: broker.epoch }),
    records: plan.records,
  };
}

/** The answer to a broker that is not registered. */
export function refuseBrokerRegistration(errorCode: number): BrokerRegistrationResponse {
  return makeBrokerRegistrationResponse({ errorCode, brokerEpoch: -1 });
}

/** Directories have ids of their own that no other broker has. */
function areDirectoriesRight(
  { brokerId, logDirs }: BrokerRegistrationRequest,
  { image }: DecisionInput,
): boolean {
  if (logDirs.length === 0 || new Set(logDirs).size !== logDirs.length) return false;
  if (logDirs.some(isReserved)) return false;
  for (const broker of image.brokers.values()) {
    if (broker.id !== brokerId && broker.logDirs.some((id) => logDirs.includes(id))) return false;
  }
  return true;
}

/** Whether an id is one of the first hundred: all but its last byte are zero. */
function isReserved(id: string): boolean {
  if (id === ZERO_UUID) return true;
  // 22 characters of base64url: the first 20 hold 15 zero bytes, the last two the last byte.
  if (!id.startsWith("A".repeat(20))) return false;
  const digit = (at: number): number => BASE64URL.indexOf(id.charAt(at));
  return digit(20) * 4 + digit(21) / 16 < RESERVED_DIRECTORY_COUNT;
}

const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Whether a broker can work at the levels that are in force; the error code, or null. */
function supportsLevels(ranges: readonly FeatureRange[], { image }: DecisionInput): number | null {
  const byName = new Map(ranges.map((range) => [range.name, range]));
  if (!byName.has("metadata.version")) return ErrorCode.INVALID_REGISTRATION;
  for (const [name, level] of image.features) {
    const { min, max } = byName.get(name) ?? { min: 0, max: 0 };
    if (level < min || level > max) return ErrorCode.UNSUPPORTED_VERSION;
  }
  for (const { name, min } of ranges) {
    if (min > 0 && !image.features.has(name)) return ErrorCode.UNSUPPORTED_VERSION;
  }
  return null;
}
