/**
 * SWIM without thread, socket and clock: packets and the time go in, packets and events come out. The thread drives the same native code, so that what
 * holds in a simulation holds for it too. The same seed and the same inputs give the same outputs.
 */
import {
  swimCoreBytes,
  swimCoreClose,
  swimCoreDeadline,
  swimCoreLeave,
  swimCoreMembers,
  swimCoreOpen,
  swimCoreOutputs,
  swimCorePacket,
  swimCoreSetHealthy,
  swimCoreSetSeeds,
  swimCoreStatistics,
  swimCoreTimer,
} from "#native";
import type {
  SwimAddress,
  SwimEvent,
  SwimMember,
  SwimProfile,
  SwimRefusal,
  SwimStatistics,
} from "./swim.ts";

/** What a machine is made of. Times are milliseconds of the caller's clock, which stands for the wall clock as well; they never go back. */
export interface SwimCoreOptions {
  readonly nodeId: number;
  /** 22 characters (`uuid.ts`). */
  readonly incarnationId: string;
  readonly clusterId: string;
  readonly secret: string;
  readonly address: SwimAddress;
  readonly seeds: readonly SwimAddress[];
  readonly profile: SwimProfile;
  /** Source of all chance, a non-negative integer. */
  readonly seed: number;
  readonly nowMs: number;
  /** False drops the rule that refuted suspects are left alone: for tests that must see it missed. */
  readonly suspectGuard?: boolean;
}

/** What a machine wants done, in order. */
export interface SwimOutputs {
  readonly packets: readonly { readonly to: SwimAddress; readonly bytes: Uint8Array }[];
  readonly events: readonly SwimEvent[];
  readonly refusals: readonly SwimRefusal[];
}

/** The machine. After each input take the outputs and look at the next deadline anew. */
export interface SwimMachine {
  /** Takes a packet; whatever it holds, nothing is thrown. `bytes` is not kept. After a pause, packets that arrived go in before timers. */
  handlePacket(nowMs: number, from: SwimAddress, bytes: Uint8Array): void;
  /** Does what is due. */
  handleTimer(nowMs: number): void;
  /** When {@link handleTimer} has something to do; infinite once it has left. */
  nextDeadlineMs(): number;
  takeOutputs(): SwimOutputs;
  members(): SwimMember[];
  statistics(): SwimStatistics;
  updateSeeds(seeds: readonly SwimAddress[]): void;
  /** Says good-bye: the last packets are those of the next 150 ms. */
  leave(nowMs: number): void;
  /** False: leaves as unhealthy, unless it has. True: comes back. */
  setHealthy(nowMs: number, isHealthy: boolean): void;
  /** Frees the native side; the machine is of no use after it. */
  close(): void;
}

interface OutputsText {
  readonly packets: readonly { readonly to: SwimAddress; readonly length: number }[];
  readonly events: SwimEvent[];
  readonly refusals: SwimRefusal[];
}

/** The native machine. Times are kept to the microsecond. */
export class SwimCore implements SwimMachine {
  readonly #handle: number;

  /** Starts alone; it asks its seeds at the first deadline, which is `nowMs`. @throws Error for options that make no sense */
  constructor(options: SwimCoreOptions) {
    const { nodeId, incarnationId, clusterId, secret, address, seeds, profile } = options;
    const node = { nodeId, incarnationId, clusterId, secret, advertised: address, seeds, profile };
    const { seed, nowMs, suspectGuard = true } = options;
    this.#handle = swimCoreOpen(JSON.stringify({ node, seed, nowMs, suspectGuard }));
  }

  handlePacket(nowMs: number, from: SwimAddress, bytes: Uint8Array): void {
    swimCorePacket(this.#handle, nowMs, from.host, from.port, bytes);
  }

  handleTimer(nowMs: number): void {
    swimCoreTimer(this.#handle, nowMs);
  }

  nextDeadlineMs(): number {
    return swimCoreDeadline(this.#handle);
  }

  takeOutputs(): SwimOutputs {
    const { packets, events, refusals } = JSON.parse(swimCoreOutputs(this.#handle)) as OutputsText;
    if (packets.length === 0) return { packets: [], events, refusals };
    const bytes = swimCoreBytes(this.#handle);
    let position = 0;
    return {
      packets: packets.map(({ to, length }) => {
        position += length;
        return { to, bytes: bytes.subarray(position - length, position) };
      }),
      events,
      refusals,
    };
  }

  members(): SwimMember[] {
    return JSON.parse(swimCoreMembers(this.#handle)) as SwimMember[];
  }

  statistics(): SwimStatistics {
    return JSON.parse(swimCoreStatistics(this.#handle)) as SwimStatistics;
  }

  updateSeeds(seeds: readonly SwimAddress[]): void {
    swimCoreSetSeeds(this.#handle, JSON.stringify(seeds));
  }

  leave(nowMs: number): void {
    swimCoreLeave(this.#handle, nowMs);
  }

  setHealthy(nowMs: number, isHealthy: boolean): void {
    swimCoreSetHealthy(this.#handle, nowMs, isHealthy);
  }

  close(): void {
    swimCoreClose(this.#handle);
  }
}
