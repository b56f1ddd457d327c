/**
 * The addon's part of the transport: reading from a descriptor straight into a frame buffer, the thread that waits until there is something
 * to read, and the one that sends file slices. Nothing else in this folder knows that there is an addon; `Transport` works without one.
 */
import {
  acknowledgedBytes,
  armWatch,
  cancelSend,
  closeSender,
  descriptorLimit,
  drainReady,
  drainSent,
  openReadiness,
  openSender,
  planDrop,
  planSend,
  probeAddress,
  raiseDescriptorLimit,
  recvInto,
  setSocketBuffers,
  unwatchSocket,
  watchSocket,
} from "#native";
import { openFastLane } from "./fast-lane.ts";
import type { Readiness, SlicedReply, SlicedSender, SocketWatch } from "./ports.ts";
import type { NativeAssist } from "./transport.ts";

/** Completions fetched from the sender at a time. */
const DRAIN_ROWS = 256;
/** Sockets that are ready, fetched at a time. */
const READY_ROWS = 64;

/**
 * Asks whether an address can be listened on, without ever listening: a client that came at that moment would be accepted and dropped.
 *
 * @throws Error with a `code` (`EADDRINUSE`, `EACCES`) or the system's words when it cannot.
 */
export function requireFreeAddress(hostname: string, port: number): void {
  const reason = probeAddress(hostname, port);
  if (reason !== null) throw Object.assign(new Error(reason), { code: reason });
}

/** Most descriptors this process may have open, once it has raised its own limit to what the system allows; infinity for no limit. */
export function openFileLimit(): number {
  raiseDescriptorLimit();
  const limit = descriptorLimit();
  return limit < 0 ? Number.POSITIVE_INFINITY : limit;
}

/** The native assist of a plaintext transport; one per event loop. */
export function createNativeAssist(): NativeAssist {
  return {
    receiver: { receive: recvInto },
    setSocketBuffers,
    acknowledgedBytes,
    openLane: openFastLane,
    openSender(onSent: (token: number, status: number) => void): SlicedSender {
      const completions = new Float64Array(DRAIN_ROWS * 2);
      const senderId = openSender(() => {
        for (;;) {
          const count = drainSent(senderId, completions);
          for (let row = 0; row < count; row++) {
            onSent(completions[row * 2] as number, completions[row * 2 + 1] as number);
          }
          if (count < DRAIN_ROWS) return;
        }
      });
      return {
        send(reply: SlicedReply, fd: number, token: number): number {
          return planSend(reply.plan, senderId, fd, reply.head, reply.cuts, token);
        },
        drop: planDrop,
        cancel: (token) => cancelSend(senderId, token),
        close: () => closeSender(senderId),
      };
    },
  };
}

/**
 * Waits for sockets whose readers the event loop was told to pause: a native thread waits, and tells this loop when to read. What the loop
 * reads by itself arrives in memory of its own, a fresh copy of each piece; who waits here reads into what he has. One per event loop, for as
 * long as that lives; the thread starts with the first watch.
 */
export function createReadiness(): Readiness {
  const waiting = new Map<number, () => void>();
  const tokens = new Float64Array(READY_ROWS);
  let id: number | null = null;
  let nextToken = 1;
  const onReady = (): void => {
    if (id === null) return;
    for (;;) {
      const count = drainReady(id, tokens);
      // A callback may close other watches; their tokens then find nobody.
      for (const token of tokens.slice(0, count)) waiting.get(token)?.();
      if (count < READY_ROWS) return;
    }
  };
  return {
    watch(fd: number, onReadable: () => void): SocketWatch | null {
      id ??= openReadiness(onReady);
      const token = nextToken++;
      const key = watchSocket(id, fd, token);
      if (key === 0) return null;
      waiting.set(token, onReadable);
      return {
        arm: (lowBytes) => armWatch(key, lowBytes),
        close(): void {
          waiting.delete(token);
          unwatchSocket(key);
        },
      };
    },
  };
}
