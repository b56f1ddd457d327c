/**
 * SWIM without thread, socket and clock: packets and the time go in, packets and events come out. The thread drives the same native code, so that what
 * holds in a simulation holds for it too. The same seed and the same inputs give the same outputs.
 */
import type { SwimAddress, SwimEvent, SwimMember, SwimProfile, SwimStatistics } from "./swim.ts";

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
}

/** The machine. After each input take the outputs and look at the next deadline anew. */
export interface SwimMachine {
  /** Takes a packet; whatever it holds, nothing is thrown. `bytes` is not kept. After a pause, packets that arrived go in before timers. */
  handlePacket(nowMs: number, from: SwimAddress, bytes: Uint8Array): void;
  /** Does what is due. */
  handleTimer(nowMs: number): void;
  /** When {@link handleTimer} has something to do. */
  nextDeadlineMs(): number;
  takeOutputs(): SwimOutputs;
  members(): SwimMember[];
  statistics(): SwimStatistics;
  updateSeeds(seeds: readonly SwimAddress[]): void;
  /** Says good-bye: the last packets are those of the next 150 ms. */
  leave(nowMs: number): void;
  /** With a reason: leaves as unhealthy, unless it has. With null: comes back. */
  setUnhealthy(nowMs: number, reason: "eventLoop" | "disk" | null): void;
  /** Frees the native side; the machine is of no use after it. */
  close(): void;
}
