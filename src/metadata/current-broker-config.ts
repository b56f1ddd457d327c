/**
 * The broker's configuration as it is now: the static values under what the newest image stores for all brokers and for
 * this one. First among the publishers, so that the others see the values of the image they are told of.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import type { ClusterDelta } from "./cluster-delta.ts";
import { configValues, ResourceType } from "./cluster-image.ts";
import type { ClusterImage } from "./cluster-image.ts";
import type { MetadataPublisher } from "./metadata-loader.ts";

/** See the head of the file. */
export class CurrentBrokerConfig implements MetadataPublisher {
  readonly #nodeId: number;
  #config: BrokerConfig;

  constructor(staticConfig: BrokerConfig, nodeId: number) {
    this.#config = staticConfig;
    this.#nodeId = nodeId;
  }

  /** The configuration now in force; a new value after each change. */
  get config(): BrokerConfig {
    return this.#config;
  }

  onMetadataUpdate(_delta: ClusterDelta, image: ClusterImage): void {
    const defaults = configValues(image, ResourceType.BROKER, "");
    const own = configValues(image, ResourceType.BROKER, String(this.#nodeId));
    if (defaults === this.#config.dynamicDefaults && own === this.#config.dynamicValues) return;
    this.#config = this.#config.withDynamic(defaults, own);
  }
}
