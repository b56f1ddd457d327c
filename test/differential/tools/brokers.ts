/** The two brokers of a comparison, fresh and with the same settings. */
import { join } from "node:path";
import { type BrokerProcess, kafkaBroker, sluiceBroker } from "../../support/broker-process.ts";
import { freePort } from "../../support/process.ts";

/** Settings of both, so that no description differs for want of them. */
const SETTINGS: Readonly<Record<string, string>> = {
  "node.id": "1",
  "process.roles": "broker,controller",
  "controller.listener.names": "CONTROLLER",
  "group.initial.rebalance.delay.ms": "0",
  "offsets.topic.num.partitions": "3",
  "offsets.topic.replication.factor": "1",
  "transaction.state.log.num.partitions": "3",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
};

/** Starts Sluice from this checkout. */
export async function startSluice(directory: string, port?: number): Promise<BrokerProcess> {
  const own = port ?? (await freePort());
  const overrides = { ...SETTINGS, "advertised.listeners": `PLAINTEXT://127.0.0.1:${own}` };
  return await started(
    await sluiceBroker({ directory: join(directory, "sluice"), overrides, port: own }),
  );
}

/**
 * With eligible leader replicas, which one replica has no use for, Kafka sets `min.insync.replicas` for the cluster, and each description of a
 * topic would differ by that.
 */
const KAFKA_FEATURES: Readonly<Record<string, number>> = { "eligible.leader.replicas.version": 0 };

/** Starts real Kafka from the jars in `libraries`. */
export async function startKafka(
  libraries: string,
  directory: string,
  port?: number,
): Promise<BrokerProcess> {
  return await started(
    await kafkaBroker(libraries, {
      directory: join(directory, "kafka"),
      overrides: SETTINGS,
      features: KAFKA_FEATURES,
      ...(port === undefined ? {} : { port }),
    }),
  );
}

async function started(broker: BrokerProcess): Promise<BrokerProcess> {
  await broker.start();
  return broker;
}
