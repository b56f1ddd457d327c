/** `sluice doctor`: every check in turn, a line each as it comes, and an exit code that says whether a broker would run. */
import { join, resolve } from "node:path";
import { loadConfiguration } from "#broker/configuration.ts";
import { brokerSettings } from "#config/broker-settings.ts";
import type { CommandIo } from "../command-io.ts";
import { ExitCode } from "../failure.ts";
import { printJson, styleOf } from "../output.ts";
import { holderOfFile } from "../system/processes.ts";
import { formatPlural } from "../units.ts";
import { readBootstrap } from "../with-cluster.ts";
import { checkDirectory } from "./check-directories.ts";
import { checkMachine } from "./check-machine.ts";
import { checkAdminListener, checkBootstrap, checkListener } from "./check-network.ts";
import { type Finding, finding } from "./finding.ts";

/** Options as commander gives them. */
export interface DoctorArguments {
  readonly override?: readonly string[];
  readonly bootstrap?: string;
  readonly json?: true;
}

const NAME_COLUMNS = 20;
const INDENT = " ".repeat(6);

/** Runs `sluice doctor`. */
export async function runDoctor(
  file: string | null,
  options: DoctorArguments,
  io: CommandIo,
): Promise<void> {
  const bootstrap = options.bootstrap === undefined ? null : readBootstrap(options.bootstrap);
  const findings: Finding[] = [];
  const tell = async (found: readonly Finding[]): Promise<void> => {
    findings.push(...found);
    if (options.json !== true) for (const one of found) await io.stdout.write(lineOf(one, io));
  };
  if (bootstrap !== null) {
    await tell(await checkBootstrap(bootstrap));
  } else {
    await tell(await checkMachine(io.testedBun));
    await checkConfiguration(file, options.override ?? [], io, tell);
  }
  const count = (status: Finding["status"]): number =>
    findings.filter((one) => one.status === status).length;
  if (count("fail") > 0) io.setExitCode(ExitCode.FAILED);
  if (options.json === true) {
    await printJson(io.stdout, findings);
    return;
  }
  const style = styleOf(io.stdout);
  const verdict =
    count("fail") > 0
      ? style.red(
          `${formatPlural(count("fail"), "failure")}, ${formatPlural(count("warn"), "warning")}: what failed keeps it from working.`,
        )
      : count("warn") > 0
        ? style.yellow(`${formatPlural(count("warn"), "warning")}: it works, and could be better.`)
        : style.green("Everything is in order.");
  await io.stdout.write(`\n${verdict}\n`);
}

async function checkConfiguration(
  file: string | null,
  overrides: readonly string[],
  io: CommandIo,
  tell: (found: readonly Finding[]) => Promise<void>,
): Promise<void> {
  const { environment } = io;
  const { config, warnings, errors } = await loadConfiguration({ file, overrides, environment });
  const name = "configuration";
  await tell(warnings.map((warning) => finding("warn", name, warning)));
  if (config === null) {
    await tell(errors.map((error) => finding("fail", name, error)));
    return;
  }
  const { settings, errors: settingErrors } = brokerSettings(config);
  if (settings === null) {
    await tell(settingErrors.map((error) => finding("fail", name, error)));
    return;
  }
  await tell([finding("ok", name, file === null ? "defaults, no file" : `${file} is valid`)]);
  for (const directory of settings.logDirs)
    await tell(await checkDirectory(directory, settings.nodeId));
  const isOurs = async (pid: number): Promise<boolean> => {
    const holders = await Promise.all(
      settings.logDirs.map((directory) => holderOfFile(join(resolve(directory), ".lock"))),
    );
    return holders.some((holder) => holder?.pid === pid);
  };
  for (const listener of settings.listeners) await tell(await checkListener(listener, isOurs));
  const admin = settings.sluiceAdminListener;
  if (admin !== null) await tell([await checkAdminListener(admin, isOurs)]);
}

function lineOf({ status, check, message, remedies }: Finding, io: CommandIo): string {
  const style = styleOf(io.stdout);
  const colored = { ok: style.green, warn: style.yellow, fail: style.red }[status](status);
  const padding = " ".repeat(Math.max(1, INDENT.length - status.length));
  const name = check.padEnd(NAME_COLUMNS);
  const more = remedies.map(
    (remedy) => `${INDENT}${" ".repeat(NAME_COLUMNS)} ${style.dim(remedy)}\n`,
  );
  return `${colored}${padding}${name} ${message}\n${more.join("")}`;
}
