/** Limits under which a transport is tested on its own: generous ones, so that a test tightens what it is about. */
import type { TransportOptions } from "#transport/transport.ts";

export const TRANSPORT_OPTIONS: TransportOptions = {
  sendBufferBytes: -1,
  receiveBufferBytes: -1,
  maxFrameBytes: 1 << 20,
  maxInFlight: 16,
  maxUnsentBytes: 1 << 20,
  turnMs: 1000,
  idleDeadlineMs: 60_000,
  frameDeadlineMs: 30_000,
  sendDeadlineMs: 60_000,
  maxConnectionsByDescriptors: 1000,
  maxConnectionsPerSecond: 2147483647,
  unsentBytes: 1 << 24,
  maxConnections: 100,
  maxConnectionsPerAddress: 100,
  maxConnectionsPerAddressOverrides: new Map(),
  poolBytes: 1 << 24,
  poolKeepBytes: 1 << 22,
};
