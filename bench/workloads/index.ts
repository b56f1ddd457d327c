/** All workloads, in the order in which they run. */
import { clients } from "./clients.ts";
import { endToEnd } from "./end-to-end.ts";
import { catchUps, fetches } from "./fetch.ts";
import { produceBatches } from "./produce-batches.ts";
import { produceSmall } from "./produce-small.ts";
import { replicated } from "./replicated.ts";
import type { Workload } from "./workload.ts";

export const workloads: readonly Workload[] = [
  ...produceSmall,
  ...produceBatches,
  ...fetches,
  ...catchUps,
  ...endToEnd,
  ...clients,
  ...replicated,
];

/** Whether a case is part of `--goals`: what it says of itself, otherwise whether it has a goal. */
export const isForGoals = ({ isInGoals, goals }: Workload): boolean =>
  isInGoals ?? goals.length > 0;

/**
 * The workloads that `names` selects: exact names, or beginnings of names (`produce-128KiB`).
 *
 * @throws Error when a name selects nothing.
 */
export function selectWorkloads(names: readonly string[]): Workload[] {
  const chosen = new Set<Workload>();
  for (const name of names) {
    const exact = workloads.filter((workload) => workload.name === name);
    const found = exact.length > 0 ? exact : workloads.filter((each) => each.name.startsWith(name));
    if (found.length === 0) {
      throw new Error(
        `no case ${name}; there are:\n${workloads.map((each) => `  ${each.name}`).join("\n")}`,
      );
    }
    for (const workload of found) chosen.add(workload);
  }
  return workloads.filter((workload) => chosen.has(workload));
}
