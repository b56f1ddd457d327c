/**
 * What can go wrong between a client and a cluster: the network, or an answer with an error code. The message names the address or the
 * thing asked for, so that it can be shown as it is.
 */
import { errorInfo } from "#common/error-code.ts";

/** Kinds of failure below the protocol. */
export type ClientErrorCode =
  /** Nothing listens there, or the name does not resolve. Nothing was sent. */
  | "UNREACHABLE"
  /** No answer in time. Whether the request was carried out is not known; the connection is closed. */
  | "TIMED_OUT"
  /** The connection ended with requests in flight. Whether they were carried out is not known. */
  | "CONNECTION_CLOSED"
  /** The answer is not what the protocol says; the connection is closed. */
  | "BAD_ANSWER"
  /** Client and broker have no version of an API in common. Nothing was sent. */
  | "UNSUPPORTED"
  /** What was asked for cannot be: a partition that a topic does not have. Nothing was sent. */
  | "INVALID"
  /** The client itself was closed. */
  | "CLOSED"
  /** The broker refused; `errorCode` says why. */
  | "REFUSED";

/** See the head of the file. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;
  /** Kafka's error code when `code` is `REFUSED`, otherwise 0. */
  readonly errorCode: number;

  constructor(code: ClientErrorCode, message: string, errorCode = 0, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.errorCode = errorCode;
  }

  /** Whether the same request may succeed a moment later. */
  get isRetriable(): boolean {
    if (this.code === "REFUSED") return errorInfo(this.errorCode).isRetriable;
    return (
      this.code === "UNREACHABLE" || this.code === "TIMED_OUT" || this.code === "CONNECTION_CLOSED"
    );
  }
}

/** An error code as an error: `what` is the thing asked for, `message` the broker's own words where it gave any. */
export function refused(
  what: string,
  errorCode: number,
  message: string | null = null,
): ClientError {
  const { name, description } = errorInfo(errorCode);
  const text = withoutFullStop(message === null || message === "" ? description : message);
  // Brokers often name the thing themselves.
  const sentence = text.toLowerCase().includes(what.toLowerCase()) ? text : `${what}: ${text}`;
  return new ClientError("REFUSED", `${sentence} (${name})`, errorCode);
}

function withoutFullStop(text: string): string {
  return text.endsWith(".") ? text.slice(0, -1) : text;
}
