/** Shows the plan of a repair, asks on a terminal, and does it. */
import { planRepair, repair, type RepairAction, type RepairMode } from "#log/maintenance.ts";
import type { CommandIo } from "../command-io.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatPlural } from "../units.ts";
import { withProgress } from "./with-progress.ts";

/** What was typed. */
export interface LogRepairOptions {
  readonly lost: RepairMode;
  readonly apply?: true;
  readonly json?: true;
}

/** Runs `sluice log repair`. */
export async function runLogRepair(
  directory: string,
  options: LogRepairOptions,
  io: CommandIo,
): Promise<void> {
  const plan = await withProgress(io, "reading", () => planRepair(directory, options.lost));
  const isRefused = plan.some(({ kind }) => kind === "refuse");
  if (isRefused) io.setExitCode(1);
  if (options.json === true) {
    const isApplied = options.apply === true && plan.length > 0;
    if (isApplied) await withProgress(io, "repairing", () => repair(directory, options.lost));
    await printJson(io.stdout, { directory, isApplied, actions: plan });
    return;
  }
  if (plan.length === 0) {
    await io.stdout.write("nothing is damaged\n");
    return;
  }
  await show(plan, io);
  if (options.apply !== true && !(await isAgreed(io))) {
    io.setExitCode(1);
    await io.stdout.write("nothing was changed; --apply does it\n");
    return;
  }
  await withProgress(io, "repairing", () => repair(directory, options.lost));
  await io.stdout.write(
    "done; the files as they were are in .quarantine of each partition's directory\n",
  );
}

async function show(plan: readonly RepairAction[], io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  const isLoss = ({ firstOffset }: RepairAction): boolean => firstOffset >= 0;
  await printTable(
    io.stdout,
    [
      { heading: "ACTION" },
      { heading: "PARTITION" },
      { heading: "LOST OFFSETS" },
      { heading: "FILE" },
      { heading: "WHAT" },
    ],
    plan.map((action) => [
      isLoss(action) || action.kind === "refuse" ? style.red(action.kind) : action.kind,
      action.partition === "" ? "-" : action.partition,
      isLoss(action) ? `${action.firstOffset} to ${action.lastOffset}` : "none",
      action.file.slice(action.file.lastIndexOf("/") + 1),
      action.detail,
    ]),
  );
  const lost = plan
    .filter(isLoss)
    .reduce((sum, { firstOffset, lastOffset }) => sum + lastOffset - firstOffset + 1, 0);
  await io.stdout.write(
    lost === 0
      ? `${style.green("no record is lost")}\n`
      : `${style.red(`${formatPlural(lost, "offset")} lost`)}\n`,
  );
}

/** Asks on a terminal; elsewhere the answer is no. */
async function isAgreed(io: CommandIo): Promise<boolean> {
  if (!io.stdin.isTerminal || !io.stdout.isTerminal) return false;
  await io.stdout.write("Do this? [y/N] ");
  for await (const chunk of io.stdin.chunks(io.interruption())) {
    return /^y(es)?$/i.test(Buffer.from(chunk).toString().trim());
  }
  return false;
}
