/**
 * How a failed append looks to clients: Kafka's translation of log errors into coordinator errors, so that clients look for
 * the coordinator again instead of giving up.
 */
import { ErrorCode } from "#common/error-code.ts";

/**
 * Error for an operation whose records could not be written, or that could not reach the partition at all.
 * (Kafka: `handleOperationException`.)
 */
export function operationError(code: number): number {
  switch (code) {
    case ErrorCode.NETWORK_EXCEPTION:
      return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
    default:
      return appendError(code);
  }
}

/** Error for members of a classic group whose metadata could not be written. */
export function appendError(code: number): number {
  switch (code) {
    case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
    case ErrorCode.NOT_ENOUGH_REPLICAS:
    case ErrorCode.REQUEST_TIMED_OUT:
      return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    case ErrorCode.NOT_LEADER_OR_FOLLOWER:
    case ErrorCode.KAFKA_STORAGE_ERROR:
      return ErrorCode.NOT_COORDINATOR;
    case ErrorCode.MESSAGE_TOO_LARGE:
    case ErrorCode.RECORD_LIST_TOO_LARGE:
    case ErrorCode.INVALID_FETCH_SIZE:
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    default:
      return code;
  }
}
