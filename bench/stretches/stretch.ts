/**
 * A stretch of a broker's life on a directory of its own, from which the figures of one or more lifecycles are taken. What differs between
 * the entries of one lifecycle (threads, processors) is a variant; most have one.
 */
import { mkdirSync, rmSync } from "node:fs";
import type { Progress } from "../progress.ts";
import { subject } from "../record.ts";
import { freePort, type RunningSystem, type StartOptions, type System } from "../systems/system.ts";

/** How lifecycles are measured. */
export interface LifecycleOptions {
  readonly runs: number;
  readonly startUps: number;
  readonly seed: number;
  /** Before and while idle cost is measured; load beside which something is measured lasts twice as long. */
  readonly idleSeconds: number;
  readonly partitions: number;
  /** Values in the log that a killed broker comes back with. */
  readonly killedMib: number;
  readonly directory: string;
  readonly progress: Progress;
  /** Whether only goals count. */
  readonly isForGoals?: boolean;
}

/** Without where and for whom. */
export type LifecycleScale = Omit<LifecycleOptions, "directory" | "progress">;

/** Figures by lifecycle and name. */
export type Found = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** How a system is started for an entry. */
export interface Variant {
  /** Behind the system's name; empty where there is but one. */
  readonly label: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** Processors of the broker; all of them where nothing is said. */
  readonly cpus?: readonly number[];
  /** Processors of the load. */
  readonly loadCpus?: readonly number[];
}

/** See the head of the file. */
export interface Stretch {
  /** Of the lifecycles whose figures it gives. */
  readonly names: readonly string[];
  /** Whether the physical limit takes part as well. */
  readonly hasLimit?: boolean;
  /** Whether its goals are about ours alone, so that nobody else takes part where only goals count. */
  readonly isOursAlone?: boolean;
  /** How long one takes, roughly, seconds. */
  seconds(options: LifecycleScale): number;
  runs(options: LifecycleScale): number;
  variants?(): readonly Variant[];
  /** `wanted` are those of its lifecycles that were asked for. */
  live(bench: Bench, options: LifecycleOptions, wanted: ReadonlySet<string>): Promise<Found>;
}

/** A system's broker on one directory, started and stopped again and again. */
export class Bench {
  readonly system: System;
  readonly variant: Variant;
  readonly #options: StartOptions;
  running: RunningSystem;
  /** Where our own broker tells what it counted. */
  readonly metricsUrl: string | null;

  private constructor(
    system: System,
    variant: Variant,
    options: StartOptions,
    running: RunningSystem,
    metrics: string | null,
  ) {
    this.system = system;
    this.variant = variant;
    this.#options = options;
    this.running = running;
    this.metricsUrl = metrics === null ? null : `http://${metrics}/metrics`;
  }

  static async start(system: System, directory: string, variant: Variant): Promise<Bench> {
    mkdirSync(directory, { recursive: true });
    const { cpus } = variant;
    const metrics = system.name === subject ? `127.0.0.1:${await freePort()}` : null;
    const options = {
      directory,
      port: await freePort(),
      settings: {
        // Kafka keeps the threads that it comes with.
        ...(system.name === "kafka" ? {} : variant.settings),
        ...(metrics === null ? {} : { "sluice.admin.listener": metrics }),
      },
      ...(cpus === undefined ? {} : { cpus }),
    };
    const running = await system.start(options);
    return new Bench(system, variant, options, running, metrics);
  }

  async restart(): Promise<number> {
    this.running = await this.system.start(this.#options);
    return this.running.startUpMs;
  }

  async dispose(): Promise<void> {
    await this.running.kill();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }
}
