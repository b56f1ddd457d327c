/**
 * Producer ids: the controller hands out blocks, and a broker takes ids from its block one by one. A block that was begun
 * is lost at a restart, so that no id is ever given twice.
 *
 * @see KIP-730
 */
import { ErrorCode } from "#common/error-code.ts";
import { makeAllocateProducerIdsResponse } from "#protocol/generated/allocate-producer-ids.ts";
import type {
  AllocateProducerIdsRequest,
  AllocateProducerIdsResponse,
} from "#protocol/generated/allocate-producer-ids.ts";
import { makeProducerIdsRecord } from "#protocol/generated/records/producer-ids-record.ts";
import type { Decision, DecisionInput } from "./decision.ts";

/** Ids in a block, as in Kafka. */
export const PRODUCER_ID_BLOCK_SIZE = 1000;

/** Consecutive ids that belong to one broker. */
export interface ProducerIdBlock {
  readonly firstId: bigint;
  readonly count: number;
}

/** Decides on the next block of this broker. */
export function decideProducerIdBlock(input: DecisionInput): Decision<ProducerIdBlock> {
  const { image, nodeId } = input;
  return nextBlock(nodeId, image.brokers.get(nodeId)?.epoch ?? -1, input);
}

/** Decides AllocateProducerIds: the next block of any broker that says which life it is in. */
export function decideAllocateProducerIds(
  { brokerId, brokerEpoch }: AllocateProducerIdsRequest,
  input: DecisionInput,
): Decision<AllocateProducerIdsResponse> {
  if (input.image.brokers.get(brokerId)?.epoch !== brokerEpoch) {
    return { response: refuseAllocateProducerIds(ErrorCode.STALE_BROKER_EPOCH), records: [] };
  }
  const { response, records } = nextBlock(brokerId, brokerEpoch, input);
  return {
    response: makeAllocateProducerIdsResponse({
      producerIdStart: response.firstId,
      producerIdLen: response.count,
    }),
    records,
  };
}

/** The answer when no block was given. */
export function refuseAllocateProducerIds(errorCode: number): AllocateProducerIdsResponse {
  return makeAllocateProducerIdsResponse({ errorCode });
}

function nextBlock(
  brokerId: number,
  brokerEpoch: number,
  { image }: DecisionInput,
): Decision<ProducerIdBlock> {
  const firstId = image.nextProducerId;
  const record = makeProducerIdsRecord({
    brokerId,
    brokerEpoch,
    nextProducerId: firstId + BigInt(PRODUCER_ID_BLOCK_SIZE),
  });
  return {
    response: { firstId, count: PRODUCER_ID_BLOCK_SIZE },
    records: [{ kind: "ProducerIdsRecord", record }],
  };
}

/** Gives out ids one by one, fetching a block when the last one is used up. */
export class ProducerIdSource {
  readonly #nextBlock: () => Promise<ProducerIdBlock>;
  #block: ProducerIdBlock = { firstId: 0n, count: 0 };
  #used = 0;
  #pending: Promise<void> | null = null;

  /** @param nextBlock - asks the controller; called once at a time. */
  constructor(nextBlock: () => Promise<ProducerIdBlock>) {
    this.#nextBlock = nextBlock;
  }

  /**
   * An id nobody has had.
   *
   * @throws what `nextBlock` throws; the next call tries again.
   */
  async next(): Promise<bigint> {
    while (this.#used >= this.#block.count) await this.#refill();
    const id = this.#block.firstId + BigInt(this.#used);
    this.#used += 1;
    return id;
  }

  async #refill(): Promise<void> {
    this.#pending ??= this.#takeBlock();
    await this.#pending;
  }

  async #takeBlock(): Promise<void> {
    try {
      this.#block = await this.#nextBlock();
      this.#used = 0;
    } finally {
      this.#pending = null;
    }
  }
}
