/** `sluice config set`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addConfigChange } from "../config/change-command.ts";
import { addExamples } from "../program.ts";

/** Adds `config set TYPE [NAME] KEY=VALUE…`. */
export function register(program: Command, io: CommandIo): void {
  const command = addConfigChange(
    program,
    io,
    "set",
    "set keys of a topic, a broker, all brokers, a group or client metrics",
    "KEY=VALUE",
  );
  addExamples(command, io, [
    [
      "sluice config set topic orders retention.ms=86400000 cleanup.policy=delete",
      "two keys, both or none",
    ],
    ["sluice config set broker-defaults log.retention.hours=24", "for every broker, while it runs"],
    [
      "sluice config set group billing consumer.session.timeout.ms=60000",
      "for the members of a group",
    ],
    [
      "sluice config set topic orders max.message.bytes=2000000 --dry-run",
      "would the broker take it?",
    ],
  ]);
}
