/**
 * The log directories of this broker that take no new partitions (KIP-1066): `cordoned.log.dirs` as it is now, in the ids by which the
 * controller knows directories. The controller is told whenever that changes, and places nothing there; this broker itself moves no replica into one.
 *
 * Below the level of `metadata.version` that has a place for it (4.3-IV0) nothing is told or shown, as in Kafka.
 */
import { resolve } from "node:path";
import type { BrokerConfig } from "#config/broker-config.ts";
import { cordonedLogDirs } from "#config/cordoned-log-dirs.ts";
import { isCordoningSupported } from "#controller/cordoning.ts";
import type { LogDirectory } from "#log/log.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";

/** What they are worked out from. */
export interface CordonedDirectoriesOptions {
  /** The log directories there are. */
  readonly dirs: readonly LogDirectory[];
  /** The configuration now in force. */
  readonly config: () => BrokerConfig;
  readonly image: () => ClusterImage;
  /** Told of each change, once `start` was called. */
  readonly onChange: () => void;
}

/** See the head of the file. To be a publisher after the configuration's. */
export class CordonedDirectories implements MetadataPublisher {
  readonly #options: CordonedDirectoriesOptions;
  #config: BrokerConfig | null = null;
  #paths: ReadonlySet<string> = new Set();
  #told: string | null = null;

  constructor(options: CordonedDirectoriesOptions) {
    this.#options = options;
  }

  /** Whether a log directory of this path takes no new partitions. */
  isCordoned(path: string): boolean {
    const config = this.#options.config();
    if (config !== this.#config) {
      this.#config = config;
      this.#paths = new Set(cordonedLogDirs(config).map((each) => resolve(each)));
    }
    return this.#paths.has(resolve(path));
  }

  /** Directory ids as the controller is told them, in the order of `log.dirs`; null while the cluster has no place for them. */
  get told(): readonly string[] | null {
    const { dirs, image } = this.#options;
    if (!isCordoningSupported(image())) return null;
    return dirs
      .filter(({ path, error }) => error === null && this.isCordoned(path))
      .map(({ directoryId }) => directoryId);
  }

  /** The same as they are shown. */
  get shown(): readonly string[] {
    return this.told ?? [];
  }

  /** Begins to tell of changes: what there is now is known already. */
  start(): void {
    this.#told = keyOf(this.told);
  }

  onMetadataUpdate(_delta: ClusterDelta, _image: ClusterImage): void {
    if (this.#told === null) return;
    const told = keyOf(this.told);
    if (told === this.#told) return;
    this.#told = told;
    this.#options.onChange();
  }
}

function keyOf(ids: readonly string[] | null): string {
  return JSON.stringify(ids);
}
