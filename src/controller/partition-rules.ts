/**
 * The rules under which the partitions of a topic change, read from an image and the configuration in force. Decisions that take a
 * broker in or out say so: while they are made the image still shows it as it was.
 */
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import type { ClusterImage, TopicImage } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { isActive, isDirectoryOnline } from "./broker-state.ts";
import type { DecisionInput } from "./decision.ts";
import { partitionChangeEntries } from "./partition-change.ts";
import type { PartitionGoal, PartitionRules } from "./partition-change.ts";
import { DirectoryChooser } from "./placement.ts";

/** Brokers that are about to be other than the image shows them. */
export interface BrokerExceptions {
  /** Serves from now on. */
  readonly added?: number;
  /** Serves no more. */
  readonly removed?: number;
}

/** The rules of a topic. */
export interface TopicRules extends PartitionRules {
  /** `unclean.leader.election.enable`. */
  readonly allowsUnclean: boolean;
}

/** Gives the rules of one topic after another. */
export class RuleBook {
  readonly #input: DecisionInput;
  readonly #exceptions: BrokerExceptions;
  readonly #directories: DirectoryChooser;
  readonly #byTopic = new Map<string, TopicRules>();

  constructor(input: DecisionInput, exceptions: BrokerExceptions = {}) {
    this.#input = input;
    this.#exceptions = exceptions;
    this.#directories = new DirectoryChooser(input.image);
  }

  /** The rules for partitions of a topic of the image. */
  of(topic: TopicImage): TopicRules {
    let rules = this.#byTopic.get(topic.id);
    if (rules === undefined) {
      rules = this.#make(topic);
      this.#byTopic.set(topic.id, rules);
    }
    return rules;
  }

  #make(topic: TopicImage): TopicRules {
    const { image, config, cluster } = this.#input;
    const { added, removed } = this.#exceptions;
    const own = configValues(image, ResourceType.TOPIC, topic.name);
    const minIsr = Number(own.get("min.insync.replicas") ?? config.number("min.insync.replicas"));
    const unclean = own.get("unclean.leader.election.enable");
    return {
      mayLead: (id, directoryId) => {
        const broker = image.brokers.get(id);
        if (broker === undefined || id === removed) return false;
        return (id === added || isActive(broker)) && isDirectoryOnline(broker, directoryId);
      },
      minIsr: Math.min(minIsr, topic.partitions[0]?.replicas.length ?? minIsr),
      hasElr: hasElr(image),
      chooseDirectory: (id) => this.#directories.choose(id),
      isAlone: cluster === null,
      allowsUnclean:
        unclean === undefined
          ? config.boolean("unclean.leader.election.enable")
          : unclean === "true",
    };
  }
}

/** Whether eligible leader replicas are kept (KIP-966). */
export function hasElr({ features }: ClusterImage): boolean {
  return (features.get("eligible.leader.replicas.version") ?? 0) > 0;
}

/** A partition and the topic it belongs to. */
export interface PartitionOfTopic {
  readonly topic: TopicImage;
  readonly partition: TopicImage["partitions"][number];
}

/** All partitions of an image that a test holds for. */
export function* partitionsWhere(
  image: ClusterImage,
  test: (partition: TopicImage["partitions"][number]) => boolean,
): Generator<PartitionOfTopic> {
  for (const topic of image.topicsById.values()) {
    for (const partition of topic.partitions) if (test(partition)) yield { topic, partition };
  }
}

/** What becomes of partitions when a broker comes or goes: each gets a leader if there can be one, an unclean one where its topic allows that. */
export function changeEach(
  partitions: Iterable<PartitionOfTopic>,
  rules: RuleBook,
  goalOf: (partition: TopicImage["partitions"][number]) => PartitionGoal,
): MetadataRecord[] {
  const records: MetadataRecord[] = [];
  for (const { topic, partition } of partitions) {
    const topicRules = rules.of(topic);
    const goal = goalOf(partition);
    const election = goal.election ?? (topicRules.allowsUnclean ? "unclean" : "online");
    const entries = partitionChangeEntries(topic.id, partition, { ...goal, election }, topicRules);
    for (const entry of entries) records.push(entry);
  }
  return records;
}
