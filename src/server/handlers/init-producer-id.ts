/**
 * InitProducerId (key 22): an id under which an idempotent producer writes.
 *
 * - v0, v1: alike. v2: flexible. v3: the producer names the id it has, to have its epoch raised (KIP-360).
 * - v4: PRODUCER_FENCED is known (KIP-588). v5: TRANSACTION_ABORTABLE is known (KIP-890). v6, two-phase commit, is not stable.
 *
 * Without a transactional id there is no epoch to raise on the server: whoever names an id gets a fresh one with epoch 0, and
 * raises the epoch of an id it keeps by itself. Naming only one of id and epoch is INVALID_REQUEST.
 *
 * A transactional id is answered with UNSUPPORTED_VERSION while transactions are not served. It is an error that every client
 * takes for final and explains truthfully; those of coordinators are retried for ever, and those of authorization send people
 * looking for permissions. An empty transactional id is INVALID_REQUEST, as in Kafka.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdResponse,
} from "#protocol/generated/init-producer-id.ts";
import type {
  InitProducerIdRequest,
  InitProducerIdResponse,
} from "#protocol/generated/init-producer-id.ts";
import type { ApiHandler } from "../handler.ts";

const NO_PRODUCER_ID = -1n;
const NO_PRODUCER_EPOCH = -1;

/** Gives out producer ids: `ProducerIdSource` of the controller. */
export interface ProducerIds {
  /** An id nobody has had. Rejects when none could be reserved. */
  next(): Promise<bigint>;
}

/** What the handler works with. */
export interface InitProducerIdDependencies {
  readonly producerIds: ProducerIds;
}

/** Serves InitProducerId. */
export function createInitProducerIdHandler({
  producerIds,
}: InitProducerIdDependencies): ApiHandler<InitProducerIdRequest, InitProducerIdResponse> {
  return {
    api: InitProducerIdApi,
    minVersion: 0,
    maxVersion: 5,
    async handle(request) {
      const refusal = check(request);
      if (refusal !== ErrorCode.NONE) return refuse(refusal);
      try {
        return makeInitProducerIdResponse({
          producerId: await producerIds.next(),
          producerEpoch: 0,
        });
      } catch {
        // The metadata log takes nothing more; trying again would not help before a restart.
        return refuse(ErrorCode.UNKNOWN_SERVER_ERROR);
      }
    },
  };
}

function check({ transactionalId, producerId, producerEpoch }: InitProducerIdRequest): number {
  if (transactionalId === "") return ErrorCode.INVALID_REQUEST;
  if ((producerId === NO_PRODUCER_ID) !== (producerEpoch === NO_PRODUCER_EPOCH))
    return ErrorCode.INVALID_REQUEST;
  return transactionalId === null ? ErrorCode.NONE : ErrorCode.UNSUPPORTED_VERSION;
}

function refuse(errorCode: number): InitProducerIdResponse {
  return makeInitProducerIdResponse({
    errorCode,
    producerId: NO_PRODUCER_ID,
    producerEpoch: NO_PRODUCER_EPOCH,
  });
}
