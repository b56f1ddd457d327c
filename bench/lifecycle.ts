/**
 * What no case shows: how long a start takes, what a broker with 2,000 partitions costs while nobody asks it anything, what a kill -9 costs,
 * what a second processor gives, and what a quiet client notices of an overload. Each run has a broker of its own on an empty directory,
 * alone on the machine but for idle ones; systems take turns.
 */
import { join } from "node:path";
import { subject, type LifecycleRecord, type LifecycleRun } from "./record.ts";
import { cores } from "./stretches/cores.ts";
import { overloads } from "./stretches/overload.ts";
import { starts } from "./stretches/starts.ts";
import {
  Bench,
  type Found,
  type LifecycleOptions,
  type LifecycleScale,
  type Stretch,
  type Variant,
} from "./stretches/stretch.ts";
import type { System } from "./systems/system.ts";

export type { LifecycleOptions, LifecycleScale } from "./stretches/stretch.ts";

/** What can be measured: its name, what it is, and in which modes it is run. */
export interface Lifecycle {
  readonly name: string;
  readonly about: string;
  readonly isQuick?: boolean;
  readonly isInGoals?: boolean;
}

/** All of them. */
export const lifecycles: readonly Lifecycle[] = [
  {
    name: "start-empty",
    about: "spawn to the first answer to ApiVersions, empty directory",
    isQuick: true,
    isInGoals: true,
  },
  {
    name: "idle-2000-partitions",
    about: "2,000 partitions with a few records each and no client: CPU and memory",
    isInGoals: true,
  },
  {
    name: "start-2000-partitions",
    about:
      "the same after a clean stop: spawn to the first answer, and until every partition answers",
    isInGoals: true,
  },
  { name: "start-2000-partitions-after-kill", about: "the same after kill -9" },
  {
    name: "restart-after-kill",
    about: "one partition with 512 MiB, after kill -9: until it answers where it ends",
  },
  ...overloads.map(({ name, about }) => ({ name, about, isInGoals: true })),
  {
    name: "cores",
    about: "the same loads on one and two processors, with one, two and four broker threads",
  },
];

const stretches: readonly Stretch[] = [
  ...starts,
  ...overloads.map(({ stretch }) => stretch),
  cores,
];

const one: readonly Variant[] = [{ label: "" }];

const variantsOf = (stretch: Stretch): readonly Variant[] => stretch.variants?.() ?? one;

function ableOf(
  systems: readonly System[],
  stretch: Stretch,
  options: Pick<LifecycleOptions, "isForGoals">,
): System[] {
  const able = systems.filter(
    (system) => system.isOurs && (system.isBroker || stretch.hasLimit === true),
  );
  const own = able.filter(({ name }) => name === subject);
  const isOursAlone = options.isForGoals === true && stretch.isOursAlone === true;
  return isOursAlone && own.length > 0 ? own : able;
}

const chosenOf = (names: ReadonlySet<string>): Stretch[] =>
  stretches.filter((stretch) => stretch.names.some((name) => names.has(name)));

/** How long they take, roughly. */
export function secondsOfLifecycles(
  systems: readonly System[],
  names: ReadonlySet<string>,
  options: LifecycleScale,
): number {
  return chosenOf(names)
    .map(
      (stretch) =>
        stretch.runs(options) *
        stretch.seconds(options) *
        ableOf(systems, stretch, options).length *
        variantsOf(stretch).length,
    )
    .reduce((sum, seconds) => sum + seconds, 0);
}

/** Measures the lifecycles named on the systems that we start ourselves. `onRound` is told of all there is after each kind. */
export async function runLifecycles(
  systems: readonly System[],
  names: ReadonlySet<string>,
  options: LifecycleOptions,
  onRound: (records: LifecycleRecord[]) => Promise<void> = () => Promise.resolve(),
): Promise<LifecycleRecord[]> {
  const found = new Map<string, Map<string, LifecycleRun[]>>();
  const records = (): LifecycleRecord[] =>
    lifecycles
      .filter(({ name }) => names.has(name) && found.has(name))
      .map(({ name, about }) => ({
        name,
        about,
        systems: Object.fromEntries(found.get(name) ?? []),
      }));
  for (const stretch of chosenOf(names)) {
    options.progress.say(`${stretch.names[0]} (${options.progress.clock()})`);
    for (let round = 0; round < stretch.runs(options); round++) {
      for (const system of ableOf(systems, stretch, options)) {
        for (const variant of variantsOf(stretch)) {
          const label = [system.name, variant.label].filter((text) => text !== "").join(" ");
          options.progress.step(
            `${stretch.names[0]}: ${label}, run ${round + 1}`,
            stretch.seconds(options),
          );
          const { values, error } = await liveOnce(system, stretch, variant, options, names, round);
          for (const name of stretch.names.filter((each) => names.has(each))) {
            const bySystem = found.get(name) ?? new Map<string, LifecycleRun[]>();
            found.set(name, bySystem);
            const run = { figures: rounded(values[name] ?? {}), error };
            bySystem.set(label, [...(bySystem.get(label) ?? []), run]);
          }
          if (error !== null) options.progress.say(`  ${label} failed: ${error}`);
        }
      }
    }
    await onRound(records());
  }
  options.progress.end();
  return records();
}

async function liveOnce(
  system: System,
  stretch: Stretch,
  variant: Variant,
  options: LifecycleOptions,
  names: ReadonlySet<string>,
  round: number,
): Promise<{ values: Found; error: string | null }> {
  const place = `${system.name}-${stretch.names[0]}-${variant.label.replaceAll(" ", "-")}${round}`;
  try {
    const bench = await Bench.start(system, join(options.directory, place), variant);
    try {
      return { values: await stretch.live(bench, options, names), error: null };
    } finally {
      await bench.dispose();
    }
  } catch (error) {
    return { values: {}, error: error instanceof Error ? error.message : String(error) };
  }
}

function rounded(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Math.round(value * 1e4) / 1e4]),
  );
}
