/** What looks at the cluster as a whole: features, quorum, versions, ids. */
import { run, type Step } from "../steps.ts";

export const CLUSTER: readonly Step[] = [
  run("kafka-cluster cluster-id --bootstrap-server {bootstrap}"),
  run("kafka-cluster list-endpoints --bootstrap-server {bootstrap}"),
  run("kafka-cluster list-endpoints --include-fenced-brokers --bootstrap-server {bootstrap}"),
  run("kafka-cluster unregister --id 9 --bootstrap-server {bootstrap}"),
  run("kafka-broker-api-versions"),
  run("kafka-acls --list"),
  run("kafka-acls --add --allow-principal User:alice --operation Read --topic apples"),
  run("kafka-acls --remove --force --allow-principal User:alice --operation Read --topic apples"),
  run("kafka-delegation-tokens --describe --command-config {directory}/empty.properties", {
    files: { "empty.properties": "\n" },
  }),
  run("kafka-features describe"),
  run("kafka-features upgrade --feature group.version=1"),
  run("kafka-features upgrade --feature group.version=9"),
  run("kafka-features upgrade --feature no.such.feature=1"),
  run("kafka-features upgrade --release-version 4.3 --dry-run"),
  run("kafka-features downgrade --feature transaction.version=1 --dry-run"),
  run("kafka-features downgrade --feature group.version=0 --dry-run"),
  run("kafka-features disable --feature metadata.version"),
  run("kafka-features version-mapping"),
  run("kafka-features version-mapping --release-version 4.0"),
  run("kafka-features feature-dependencies --feature group.version=1"),
  run("kafka-features describe"),
  run("kafka-metadata-quorum describe --status"),
  run("kafka-metadata-quorum describe --replication"),
  run("kafka-metadata-quorum describe --replication --human-readable"),
];
