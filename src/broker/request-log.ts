/**
 * What goes wrong with a connection, as log lines: a request that cannot be read, a handler that failed, a connection that was cut
 * for its own doing. Each is told once, with who it was; all of it is limited, since a client can cause as much of it as
 * it likes.
 */
import { AssertionError } from "#common/assert.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import { errorFields, type LogFields, type Logger } from "#common/logger.ts";
import { API_VERSIONS } from "#protocol/generated/api-table.ts";
import type { DispatcherEvents, UnreadableRequest } from "#server/dispatcher.ts";
import type { ConnectionInfo, RequestContext } from "#server/handler.ts";
import type { ConnectionCut, TransportEvents } from "#transport/ports.ts";
import { SYSTEM_CLOCK } from "./system-ports.ts";

/** How often counts of lines held back are looked at. */
const FLUSH_INTERVAL_MS = 5_000;

/** Writes the lines of one thread. */
export class RequestLog implements DispatcherEvents, TransportEvents {
  readonly #limiter: LogLimiter;
  readonly #onFatal: (error: Error) => void;
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param onFatal - told when a handler failed in a way that puts the broker's state in doubt. */
  constructor(logger: Logger, onFatal: (error: Error) => void) {
    this.#limiter = new LogLimiter(logger, SYSTEM_CLOCK);
    this.#onFatal = onFatal;
    this.#timer = setInterval(() => this.#limiter.flush(), FLUSH_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Tells what is still held back. */
  close(): void {
    clearInterval(this.#timer);
    this.#limiter.flush(true);
  }

  onHandlerFailure(error: unknown, context: RequestContext): void {
    this.#limiter.write(
      "error",
      "handler-failure",
      "a request failed, its connection is closed",
      () => ({
        ...requestFields(context.apiKey, context.apiVersion, context.connection),
        clientId: context.clientId,
        correlationId: context.correlationId,
        ...errorFields(error),
      }),
    );
    if (error instanceof AssertionError) this.#onFatal(error);
  }

  onUnreadableRequest(
    { reason, apiKey, apiVersion, bytes }: UnreadableRequest,
    connection: ConnectionInfo | null,
  ): void {
    this.#limiter.write(
      "warn",
      `unreadable-${reason}`,
      "closing a connection over a request that cannot be served",
      () => ({ reason, ...requestFields(apiKey, apiVersion, connection), requestBytes: bytes }),
    );
  }

  /** A connection that no node authenticated asked as a replica. */
  onFalseReplica(replicaId: number, { clientHost, listenerName }: ConnectionInfo): void {
    this.#limiter.write("warn", "false-replica", "a client calls itself a replica", () => ({
      replicaId,
      clientHost,
      listener: listenerName,
    }));
  }

  onConnectionCut(reason: ConnectionCut, connectionId: number, clientHost: string): void {
    const level = reason === "idle" ? "debug" : reason === "refused-stopping" ? "info" : "warn";
    this.#limiter.write(level, `cut-${reason}`, CUT_MESSAGES[reason], () => ({
      clientHost,
      ...(connectionId < 0 ? {} : { connectionId }),
    }));
  }
}

const CUT_MESSAGES: Readonly<Record<ConnectionCut, string>> = {
  idle: "closing an idle connection (connections.max.idle.ms)",
  "frame-deadline":
    "closing a connection that does not finish its request (sluice.frame.deadline.ms)",
  "bad-frame":
    "closing a connection that announced a request of an impossible size (socket.request.max.bytes)",
  "send-deadline": "closing a connection that does not take its replies (sluice.send.deadline.ms)",
  memory: "closing a connection whose data does not fit into memory (queued.max.request.bytes)",
  "refused-descriptors":
    "refusing a connection: the limit of open files leaves no room for more (ulimit -n)",
  "refused-rate":
    "refusing a connection: too many wait for their turn (max.connection.creation.rate)",
  "refused-connections": "refusing a connection: there are too many (max.connections)",
  "refused-address": "refusing a connection: too many from its address (max.connections.per.ip)",
  "refused-stopping": "refusing a connection: the broker is stopping",
};

function requestFields(
  apiKey: number,
  apiVersion: number,
  connection: ConnectionInfo | null,
): LogFields {
  return {
    api: API_VERSIONS.get(apiKey)?.name ?? apiKey,
    apiVersion,
    ...(connection === null
      ? {}
      : {
          clientHost: connection.clientHost,
          clientSoftware: `${connection.clientSoftwareName} ${connection.clientSoftwareVersion}`,
          listener: connection.listenerName,
          connectionId: connection.id,
        }),
  };
}
