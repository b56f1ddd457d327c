/**
 * BrokerHeartbeat: a broker tells how far it has read the metadata and what it wants, and is told what it is.
 *
 * ```
 * fenced ──── caught up with its own registration ───► serving
 *   ▲                                                     │ wants to go and leads something
 *   │                                                     ▼
 *   └──── wants to go and leads nothing ◄──── in controlled shutdown: led partitions move away first, and it goes
 *                                              once all others have read that
 * ```
 *
 * - v0. v1: log directories that failed (KIP-858). v2: directories that take no new partitions (KIP-1066).
 *
 * @see KIP-631
 */
import { ErrorCode } from "#common/error-code.ts";
import type { BrokerImage, ClusterImage } from "#metadata/cluster-image.ts";
import { makeBrokerHeartbeatResponse } from "#protocol/generated/broker-heartbeat.ts";
import type {
  BrokerHeartbeatRequest,
  BrokerHeartbeatResponse,
} from "#protocol/generated/broker-heartbeat.ts";
import { cordonRecords } from "./cordoning.ts";
import type { ClusterInput, Decision, DecisionInput } from "./decision.ts";
import {
  fenceRecords,
  offlineDirectoryRecords,
  shutdownRecords,
  unfenceRecords,
} from "./fencing.ts";
import { Plan } from "./plan.ts";

/** What a broker is after its heartbeat. */
type BrokerState = "fenced" | "serving" | "leaving" | "gone";

/** Decides BrokerHeartbeat. The time of it is noted elsewhere. */
export function decideHeartbeat(
  request: BrokerHeartbeatRequest,
  input: DecisionInput,
  { liveness }: ClusterInput,
): Decision<BrokerHeartbeatResponse> {
  const broker = input.image.brokers.get(request.brokerId);
  if (broker === undefined || broker.epoch !== request.brokerEpoch) {
    return { response: refuseHeartbeat(ErrorCode.STALE_BROKER_EPOCH), records: [] };
  }
  const isCaughtUp = request.currentMetadataOffset >= liveness.registrationOffset(broker);
  const state = nextState(request, broker, isCaughtUp, input.image, liveness);
  const plan = new Plan(input);
  plan.add(transition(broker, state, input));
  const { offlineLogDirs, cordonedLogDirs } = request;
  const after = (): BrokerImage => plan.input.image.brokers.get(broker.id) ?? broker;
  plan.add(offlineDirectoryRecords(after(), offlineLogDirs, plan.input));
  if (cordonedLogDirs !== null) plan.add(cordonRecords(after(), cordonedLogDirs, input.image));
  const response = makeBrokerHeartbeatResponse({
    isCaughtUp,
    isFenced: state === "fenced" || state === "gone",
    shouldShutDown: state === "gone",
  });
  return { response, records: plan.records };
}

/** The answer to a heartbeat that counts for nothing. */
export function refuseHeartbeat(errorCode: number): BrokerHeartbeatResponse {
  return makeBrokerHeartbeatResponse({ errorCode });
}

function nextState(
  { wantFence, wantShutDown }: BrokerHeartbeatRequest,
  broker: BrokerImage,
  isCaughtUp: boolean,
  image: ClusterImage,
  liveness: ClusterInput["liveness"],
): BrokerState {
  const shutdownOffset = liveness.shutdownOffset(broker.id);
  if (broker.isFenced) {
    if (wantShutDown) return "gone";
    return !wantFence && isCaughtUp ? "serving" : "fenced";
  }
  if (shutdownOffset >= 0) {
    if (leadsAnything(image, broker.id)) return "leaving";
    return shutdownOffset <= liveness.lowestActiveOffset(image) ? "gone" : "leaving";
  }
  if (wantFence) return wantShutDown ? "gone" : "fenced";
  if (!wantShutDown) return "serving";
  return leadsAnything(image, broker.id) ? "leaving" : "gone";
}

function transition(
  broker: BrokerImage,
  state: BrokerState,
  input: DecisionInput,
): ReturnType<typeof fenceRecords> {
  switch (state) {
    case "fenced":
    case "gone":
      return broker.isFenced ? [] : fenceRecords(broker, input);
    case "serving":
      return broker.isFenced ? unfenceRecords(broker, input) : [];
    case "leaving":
      return shutdownRecords(broker, input);
  }
}

function leadsAnything({ topicsById }: ClusterImage, brokerId: number): boolean {
  for (const { partitions } of topicsById.values()) {
    if (partitions.some(({ leader }) => leader === brokerId)) return true;
  }
  return false;
}
