/** `sluice doctor`: its options and help; the work is in `src/cli/doctor/run-doctor.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import type { DoctorArguments } from "../doctor/run-doctor.ts";
import { addExamples, addNotes, collect } from "../program.ts";

/** Adds `doctor [FILE]`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("doctor")
    .description("check this machine, a configuration, and a running broker")
    .argument("[file]", "the server.properties that 'sluice start' would be given")
    .option("--override <key=value>", "set one configuration key, over the file", collect)
    .option("-b, --bootstrap <host:port,...>", "only ask this broker, as a client would")
    .option("--json", "one JSON document")
    .action(async (file: string | undefined, options: DoctorArguments) => {
      const { runDoctor } = await import("../doctor/run-doctor.ts");
      await runDoctor(file ?? null, options, io);
    });
  addNotes(command, io, [
    "Nothing is changed; a small file is written to each log directory that exists and removed again, to time fsync.",
    "A broker that runs on the listeners is asked which addresses it gives to clients, and each of them is dialled.",
    "Exit code 1 when a check fails; warnings do not count.",
  ]);
  addExamples(command, io, [
    ["sluice doctor", "what 'sluice start' would meet"],
    ["sluice doctor server.properties", "with a configuration"],
    ["sluice doctor --bootstrap broker-1:9092", "what a client of that broker would meet"],
  ]);
}
