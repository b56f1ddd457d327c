/** What runs met, by name: a simulation whose seeds meet nothing is worth nothing. */

/** Times that something happened. */
export type Coverage = Readonly<Record<string, number>>;

/** What every large range has to meet; named in the summary when it did not. */
export const EXPECTED: readonly string[] = [
  "crash process",
  "crash unsynced",
  "crash power",
  "records lost in a crash",
  "stop in order",
  "pause",
  "cut both ways",
  "cut one way",
  "connection reset",
  "slow node",
  "full disk",
  "write refused by a full disk",
  "verdict by lot",
  "verdict of SWIM",
  "fenced by connection",
  "fenced by swim",
  "fenced by session",
  "SWIM contradicted over TCP",
  "raft leader",
  "raft snapshot taken over",
  "leader elected",
  "leader elected from the ELR",
  "last leader elected, nobody left",
  "unclean leader elected",
  "ISR shrunk",
  "ISR grown",
  "log cut",
  "reassignment begun",
  "reassignment done",
  "replica deleted",
  "voter added",
  "voter removed",
  "acknowledged in a later epoch",
  "generation of a group",
  "offset committed",
];

/** Counts of several runs together. */
export function addCoverage(into: Map<string, number>, coverage: Coverage): void {
  for (const [name, count] of Object.entries(coverage))
    into.set(name, (into.get(name) ?? 0) + count);
}
