/**
 * The words of a run: command lines of Kafka's tools, and what is put into the broker between them. A run is one list of steps, since a
 * command that changes something is judged by the ones that look at it later.
 */

/** Main classes of the tools, by the names of their scripts. */
export const TOOLS: Readonly<Record<string, string>> = {
  "kafka-acls": "org.apache.kafka.tools.AclCommand",
  "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
  "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
  "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
  "kafka-configs": "kafka.admin.ConfigCommand",
  "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
  "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
  "kafka-delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
  "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
  "kafka-features": "org.apache.kafka.tools.FeatureCommand",
  "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
  "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
  "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
  "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
  "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
  "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
  "kafka-share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
  "kafka-streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
  "kafka-topics": "org.apache.kafka.tools.TopicCommand",
  "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
};

/** A command line whose output is compared. */
export interface Run {
  readonly op: "run";
  /** The command line as one would type it, without `--bootstrap-server`. */
  readonly name: string;
  readonly main: string;
  readonly words: readonly string[];
  /** Files for the command, named `{directory}/…` in its words. */
  readonly files?: Readonly<Record<string, string>>;
  /** The tool prints in the order of a hash table whose keys differ from broker to broker. */
  readonly isUnordered?: boolean;
  /** Run again until this is in the output: Kafka applies some changes after it has answered. */
  readonly until?: string;
}

/** State that is put into both brokers; nothing of it is compared, but it must not fail. */
export type Preparation =
  | {
      readonly op: "produce";
      readonly topic: string;
      /** Records of each partition, from partition 0 on. */
      readonly counts: readonly number[];
      readonly firstTimestamp: number;
      readonly stepMs: number;
    }
  | {
      readonly op: "commit";
      readonly group: string;
      /** By `topic-partition`. */
      readonly offsets: Readonly<Record<string, number>>;
    }
  | {
      readonly op: "join";
      /** Of the member, and its client id. */
      readonly name: string;
      readonly settings: Readonly<Record<string, string>>;
      readonly topics?: readonly string[];
      readonly pattern?: string;
      /** The step is done when the member has this many. */
      readonly partitions: number;
    }
  | { readonly op: "leave"; readonly name: string };

export type Step = Run | Preparation;

/**
 * A run of a tool.
 *
 * @param line - name of the tool and its words; quotes hold a word with spaces together. `--bootstrap-server` goes first unless
 *   `{bootstrap}` is in the line.
 */
export function run(line: string, options: Pick<Run, "files" | "isUnordered" | "until"> = {}): Run {
  const [tool = "", ...rest] = wordsOf(line);
  const main = TOOLS[tool];
  if (main === undefined) throw new Error(`no tool ${tool}`);
  const words = line.includes("{bootstrap}")
    ? rest
    : ["--bootstrap-server", "{bootstrap}", ...rest];
  return { op: "run", name: line, main, words, ...options };
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}
