/**
 * What handlers know of other brokers, for their tests.
 *
 *     view: viewOf(1)                                  // this is broker 1; broker n is at 127.0.0.1:909n, without a rack
 *     view: viewOf(1, { 1: "a", 2: "b" })              // with racks, and the selector by rack
 */
import type { ReplicationView } from "#server/replication-view.ts";

/** See the head of the file. */
export function viewOf(nodeId: number, racks?: Readonly<Record<number, string>>): ReplicationView {
  const rackOf = (id: number): string | null => racks?.[id] ?? null;
  return {
    nodeId,
    selectsByRack: racks !== undefined,
    rackOf,
    endpointOf: (id) => ({ nodeId: id, host: "127.0.0.1", port: 9091 + id, rack: rackOf(id) }),
  };
}
