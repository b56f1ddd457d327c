/**
 * The embedding API: a broker inside this process.
 *
 *     import { Broker } from "sluice";
 *
 *     await using broker = await Broker.start({ port: 0 });
 *     // point any Kafka client at broker.bootstrapServers
 */
export { Broker, type BrokerOptions } from "#broker/broker.ts";
export { BrokerStartError } from "#broker/start-error.ts";
export type { HealthReason, HealthReport, HealthStatus } from "#admin/health.ts";
export type { ExpositionFormat } from "#metrics/exposition.ts";
export type { LogFields, Logger, LogLevel, LogValue } from "#common/logger.ts";
export type { BoundListener } from "#transport/transport.ts";
