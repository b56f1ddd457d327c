/** The clusters that are compared: ours with both profiles of SWIM, real Kafka as it comes, and real Kafka tuned for quick failover. */
import {
  type BrokerCluster,
  type ClusterOptions,
  kafkaCluster,
  sluiceCluster,
} from "../../test/support/cluster-process.ts";
import { kafkaJavaFlags, kafkaLibraries } from "../systems/kafka.ts";

/** One kind of cluster. */
export interface FailoverSystem {
  readonly name: string;
  /** Whose goals it is held to; none for rivals. */
  readonly profile: "fast" | "default" | null;
  /** Settings over those of every cluster. */
  readonly overrides: Readonly<Record<string, string>>;
  make(options: ClusterOptions): Promise<BrokerCluster>;
}

const kafka = async (options: ClusterOptions): Promise<BrokerCluster> =>
  await kafkaCluster(await kafkaLibraries(), { ...options, javaFlags: kafkaJavaFlags });

/** All systems, by name. */
export const failoverSystems: readonly FailoverSystem[] = [
  { name: "sluice", profile: "default", overrides: {}, make: sluiceCluster },
  {
    name: "sluice-fast",
    profile: "fast",
    overrides: { "sluice.swim.profile": "fast" },
    make: sluiceCluster,
  },
  { name: "kafka", profile: null, overrides: {}, make: kafka },
  {
    name: "kafka-tuned",
    profile: null,
    overrides: {
      "broker.session.timeout.ms": "1000",
      "broker.heartbeat.interval.ms": "200",
      "controller.quorum.election.timeout.ms": "300",
      "controller.quorum.election.backoff.max.ms": "200",
      "controller.quorum.fetch.timeout.ms": "600",
    },
    make: kafka,
  },
];
