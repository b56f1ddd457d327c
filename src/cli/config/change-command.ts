/** What `config set`, `unset`, `append` and `subtract` have in common. Light, as the commands are. */
import type { Command } from "commander";
import type { ConfigChange } from "#client/configs.ts";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { groupOf } from "../program.ts";
import type { ConfigChangeOptions } from "./config-commands.ts";

/** Adds `config OPERATION TYPE [NAME] WORD…`. */
export function addConfigChange(
  program: Command,
  io: CommandIo,
  operation: ConfigChange["operation"],
  description: string,
  word: string,
): Command {
  const command = groupOf(program, "config")
    .command(operation)
    .description(description)
    .argument("<type>", "topic, broker, broker-defaults, group or client-metrics")
    .argument("<name-and-keys...>", `its name, unless broker-defaults, and ${word}`)
    .option("--dry-run", "ask the broker whether it would take it; change nothing")
    .option("--json", "one JSON document");
  return addClusterOptions(command).action(
    async (type: string, words: string[], options: ConfigChangeOptions) => {
      const { runConfigChange } = await import("./config-commands.ts");
      await runConfigChange(operation, type, words, options, io);
    },
  );
}
