/** Verifies and prints: findings in full, then a table of partitions; or both as one JSON document. */
import type { Finding } from "#log/log.ts";
import { verify } from "#log/maintenance.ts";
import type { CommandIo } from "../command-io.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatBytes, formatCount, formatPlural } from "../units.ts";
import { withProgress } from "./with-progress.ts";

/** Runs `sluice log verify`. */
export async function runLogVerify(
  paths: readonly string[],
  isJson: boolean,
  io: CommandIo,
): Promise<void> {
  const report = await withProgress(io, "verifying", () => verify(paths));
  if (report.findings.length > 0) io.setExitCode(1);
  if (isJson) return await printJson(io.stdout, report);
  const style = styleOf(io.stdout);
  for (const finding of report.findings) {
    await io.stdout.write(`${style.red(finding.kind)} ${placeOf(finding)}\n`);
    await io.stdout.write(`  ${finding.detail}\n  ${finding.reaction}\n`);
  }
  if (report.findings.length > 0) await io.stdout.write("\n");
  const damaged = report.partitions.filter(({ findings }) => findings > 0);
  const shown = damaged.length > 0 ? damaged : report.partitions;
  await printTable(
    io.stdout,
    [
      { heading: "PARTITION" },
      { heading: "SEGMENTS", align: "right" },
      { heading: "SIZE", align: "right" },
      { heading: "BATCHES", align: "right" },
      { heading: "RECORDS", align: "right" },
      { heading: "FROM", align: "right" },
      { heading: "TO", align: "right" },
      { heading: "FINDINGS", align: "right" },
    ],
    shown.map((one) => [
      one.partition,
      formatCount(one.segments),
      formatBytes(one.bytes),
      formatCount(one.batches),
      formatCount(one.records),
      String(one.firstOffset),
      String(one.endOffset),
      one.findings === 0 ? "0" : style.red(String(one.findings)),
    ]),
  );
  const partitions = formatPlural(report.partitions.length, "partition");
  const lost = report.findings.filter(({ firstOffset }) => firstOffset >= 0).length;
  await io.stdout.write(
    report.findings.length === 0
      ? `${style.green("good")}: ${partitions}, nothing is damaged\n`
      : `${style.red("damaged")}: ${formatPlural(report.findings.length, "finding")} in ${partitions}, ${lost} of them in records; see: sluice log repair\n`,
  );
}

/** File, bytes and offsets of a finding. */
function placeOf({ file, position, endPosition, firstOffset, lastOffset }: Finding): string {
  const bytes = position < 0 ? "" : ` bytes ${position} to ${endPosition}`;
  const offsets = firstOffset < 0 ? "" : `, offsets ${firstOffset} to ${lastOffset}`;
  return `${file}${bytes}${offsets}`;
}
