/**
 * SWIM on its own native thread. The addon's functions behind the port of `swim.ts`: numbers and JSON on this side, packets never.
 */
import {
  swimBeat,
  swimDiskBeat,
  swimEvents,
  swimLeave,
  swimMembers,
  swimRefusals,
  swimSetSeeds,
  swimStart,
  swimStatistics,
  swimStop,
} from "#native";
import type {
  Swim,
  SwimAddress,
  SwimEvent,
  SwimMember,
  SwimOptions,
  SwimRefusal,
  SwimStatistics,
} from "./swim.ts";

/** The thread could not be started: `SOCKET` when the port is taken or the address is not ours, `INVALID_ARGUMENT` for options that make no sense. */
export class SwimError extends Error {
  override readonly name = "SwimError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** How old the signs of life may be; for tests. */
export interface SwimLimits {
  readonly eventLoopLimitMs?: number;
  readonly diskLimitMs?: number;
}

/**
 * Binds the socket and starts the thread. From now on {@link Swim.beat} has to be called.
 *
 * @param seed - source of the thread's chance, a non-negative safe integer.
 * @throws SwimError
 */
export function startSwim(options: SwimOptions, seed: number, limits: SwimLimits = {}): Swim {
  const { nodeId, incarnationId, clusterId, secret, advertised, seeds, profile } = options;
  const { bind, diskProbeDirectory, onEvents } = options;
  const node = { nodeId, incarnationId, clusterId, secret, advertised, seeds, profile };
  const text = coded(() =>
    swimStart(JSON.stringify({ node, bind, seed, diskProbeDirectory, ...limits }), onEvents),
  );
  const { handle, address } = JSON.parse(text) as { handle: number; address: SwimAddress };
  return new NativeSwim(handle, address);
}

function coded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "string")
      throw new SwimError(error.code, error.message);
    throw error;
  }
}

class NativeSwim implements Swim {
  readonly address: SwimAddress;
  readonly #handle: number;
  /** What is told once the handle is gone. */
  #last: SwimStatistics | null = null;

  constructor(handle: number, address: SwimAddress) {
    this.#handle = handle;
    this.address = address;
  }

  beat(): void {
    swimBeat(this.#handle);
  }

  diskBeat(): void {
    swimDiskBeat(this.#handle);
  }

  members(): SwimMember[] {
    return this.#last === null ? (JSON.parse(swimMembers(this.#handle)) as SwimMember[]) : [];
  }

  drainEvents(): SwimEvent[] {
    return this.#last === null ? (JSON.parse(swimEvents(this.#handle)) as SwimEvent[]) : [];
  }

  drainRefusals(): SwimRefusal[] {
    return this.#last === null ? (JSON.parse(swimRefusals(this.#handle)) as SwimRefusal[]) : [];
  }

  statistics(): SwimStatistics {
    return this.#last ?? (JSON.parse(swimStatistics(this.#handle)) as SwimStatistics);
  }

  updateSeeds(seeds: readonly SwimAddress[]): void {
    if (this.#last === null) coded(() => swimSetSeeds(this.#handle, JSON.stringify(seeds)));
  }

  async leave(): Promise<void> {
    if (this.#last === null) await swimLeave(this.#handle);
  }

  stop(): void {
    if (this.#last !== null) return;
    this.#last = { ...this.statistics(), state: "stopped" };
    swimStop(this.#handle);
  }
}
