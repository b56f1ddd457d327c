/** Requests to the controller as it would see them if it left out one of its checks: what is checked is made right. */
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { AlterPartitionRequest } from "#protocol/generated/alter-partition.ts";
import type { BrokerRegistrationRequest } from "#protocol/generated/broker-registration.ts";
import type { SafetyRule } from "./faults.ts";

/** See the head of the file. */
export class AlteredRequests {
  readonly #switchedOff: readonly SafetyRule[];
  readonly #image: () => ClusterImage;

  constructor(switchedOff: readonly SafetyRule[], image: () => ClusterImage) {
    this.#switchedOff = switchedOff;
    this.#image = image;
  }

  registration(request: BrokerRegistrationRequest): BrokerRegistrationRequest {
    if (!this.#switchedOff.includes("unclean-registration")) return request;
    const previousBrokerEpoch = this.#image().brokers.get(request.brokerId)?.epoch ?? -1;
    return { ...request, previousBrokerEpoch };
  }

  alterPartition(request: AlterPartitionRequest): AlterPartitionRequest {
    const image = this.#image();
    const ignoresEpochs = this.#switchedOff.includes("alter-epochs");
    const ignoresBrokers = this.#switchedOff.includes("broker-epochs");
    if (!ignoresEpochs && !ignoresBrokers) return request;
    const brokerEpoch = image.brokers.get(request.brokerId)?.epoch ?? request.brokerEpoch;
    const topics = request.topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((row) => {
        const known = image.topicsById.get(topic.topicId)?.partitions[row.partitionIndex];
        const { leaderEpoch, partitionEpoch } = ignoresEpochs && known !== undefined ? known : row;
        const newIsrWithEpochs = ignoresBrokers
          ? row.newIsrWithEpochs.map((state) => ({ ...state, brokerEpoch: -1 }))
          : row.newIsrWithEpochs;
        return { ...row, leaderEpoch, partitionEpoch, newIsrWithEpochs };
      }),
    }));
    const altered = {
      ...request,
      brokerEpoch: ignoresBrokers ? brokerEpoch : request.brokerEpoch,
      topics,
    };
    if (!ignoresEpochs) return altered;
    // Who asks counts for nothing either: that only the leader may is what its epoch says. There is one partition in these runs.
    const [topic] = request.topics;
    const [row] = topic?.partitions ?? [];
    const leader = image.topicsById.get(topic?.topicId ?? "")?.partitions[row?.partitionIndex ?? -1]
      ?.leader;
    const broker = image.brokers.get(leader ?? -1);
    return broker === undefined
      ? altered
      : { ...altered, brokerId: broker.id, brokerEpoch: broker.epoch };
  }
}
