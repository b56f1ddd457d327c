/**
 * What the main thread and a broker thread say to each other. Everything here is plain data: it is copied on its way.
 *
 * A broker thread owns sockets and serves Produce and Fetch by itself. Any other request travels to the main thread as
 * bytes and its answer travels back as bytes, so that coordinators and controller exist once.
 */
import type { LogFields, LogLevel } from "#common/logger.ts";
import type { ThreadSnapshot } from "#metrics/thread-snapshot.ts";
import type { DirectoryChange } from "#replica/partition-directory.ts";
import type { ConnectionAddress } from "#transport/connection.ts";
import type {
  BoundListener,
  ConnectionCounts,
  ListenOptions,
  TransportOptions,
} from "#transport/transport.ts";

/** What a broker thread needs to know before it listens. */
export interface ThreadStart {
  readonly transport: TransportOptions;
  readonly listeners: readonly ListenOptions[];
  readonly nodeId: number;
  /** `replica.selector.class` names the selector by rack. */
  readonly selectsByRack: boolean;
  readonly fetchMaxBytes: number;
  readonly sessionSlots: number;
  readonly sessionEvictionMs: number;
  readonly countedTopicsMax: number;
}

/** From the main thread. */
export type ToThread =
  | { readonly kind: "start"; readonly start: ThreadStart }
  | { readonly kind: "serve" }
  | {
      readonly kind: "directory";
      readonly id: number;
      readonly changes: readonly DirectoryChange[];
    }
  | {
      readonly kind: "reply";
      readonly connectionId: number;
      readonly requestId: number;
      /** A whole frame; null to answer nothing. */
      readonly bytes: Uint8Array | null;
    }
  | { readonly kind: "close"; readonly connectionId: number; readonly isReset: boolean }
  /** A node of the cluster is at the other end of the connection. */
  | { readonly kind: "peer"; readonly connectionId: number; readonly nodeId: number }
  | { readonly kind: "limit-connections"; readonly id: number; readonly counts: ConnectionCounts }
  /** Asks for what was counted. */
  | { readonly kind: "statistics"; readonly id: number }
  | { readonly kind: "stop-listening" }
  | { readonly kind: "stop"; readonly deadlineMs: number };

/** From a broker thread. */
export type FromThread =
  | { readonly kind: "listening"; readonly listeners: readonly BoundListener[] }
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
  /** A change with this id is in force in the thread. */
  | { readonly kind: "applied"; readonly id: number }
  | { readonly kind: "opened"; readonly connectionId: number; readonly address: ConnectionAddress }
  | { readonly kind: "closed"; readonly connectionId: number }
  | {
      readonly kind: "frame";
      readonly connectionId: number;
      readonly requestId: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "statistics"; readonly id: number; readonly snapshot: ThreadSnapshot | null }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    }
  /** The state of the thread is in doubt: the broker should stop. */
  | { readonly kind: "fatal"; readonly line: string }
  | { readonly kind: "stopped" };
