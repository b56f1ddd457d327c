/**
 * The listener that controllers are reached on, with room for raft messages. It is opened twice: while a node looks for its cluster, and
 * for good.
 */
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { ClusterSettings } from "#config/cluster-settings.ts";
import type { FrameHandler, TransportEvents } from "#transport/ports.ts";
import { createNativeAssist } from "#transport/sendfile.ts";
import { Transport } from "#transport/transport.ts";
import { addressError, transportOptions } from "./frontend.ts";

/** Largest raft message, and so the largest state that can be sent. */
export const RAFT_MESSAGE_BYTES_MAX: number = 256 << 20;

/**
 * Opens the listeners of this node's controller; null where it has none.
 *
 * @throws BrokerStartError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE. Nothing stays bound.
 */
export async function openControllerListener(
  settings: BrokerSettings,
  cluster: ClusterSettings,
  frames: FrameHandler,
  events: TransportEvents,
): Promise<Transport | null> {
  if (cluster.controllerListeners.length === 0) return null;
  const transport = new Transport(
    {
      ...transportOptions(settings, 1),
      maxFrameBytes: RAFT_MESSAGE_BYTES_MAX,
      poolBytes: RAFT_MESSAGE_BYTES_MAX,
      laneBytes: 0,
    },
    frames,
    createNativeAssist(),
    events,
  );
  for (const { name, host, port } of cluster.controllerListeners) {
    const listener = { listenerName: name, hostname: host, port };
    try {
      transport.listen(listener);
    } catch (error) {
      await transport.stop(0);
      throw addressError(listener, error);
    }
  }
  return transport;
}
