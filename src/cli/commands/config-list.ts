/** `sluice config list`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { ConfigListOptions } from "../config/config-commands.ts";
import { addExamples, groupOf } from "../program.ts";

/** Adds `config list [TYPE]`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "config")
    .command("list")
    .description("list what has a configuration")
    .argument("[type]", "only topic, broker, group or client-metrics")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(
    async (type: string | undefined, options: ConfigListOptions) => {
      const { runConfigList } = await import("../config/config-commands.ts");
      await runConfigList(type, options, io);
    },
  );
  addExamples(command, io, [
    ["sluice config list", "topics, brokers, groups and client metrics"],
    ["sluice config list group", "groups with settings of their own"],
  ]);
}
