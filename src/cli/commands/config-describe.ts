/** `sluice config describe`: its options and help; the work is in `src/cli/config/config-commands.ts`. */
import type { Command } from "commander";
import { addClusterOptions } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import type { ConfigDescribeOptions } from "../config/config-commands.ts";
import { addExamples, addNotes, groupOf } from "../program.ts";

/** Adds `config describe TYPE [NAME] [KEY…]`. */
export function register(program: Command, io: CommandIo): void {
  const command = groupOf(program, "config")
    .command("describe")
    .description("show what is set, where it comes from, and its default")
    .argument("<type>", "topic, broker, broker-defaults, group or client-metrics")
    .argument("[name-and-keys...]", "its name, unless broker-defaults, and the keys to show")
    .option("--all", "also the keys that nobody has set")
    .option("--doc", "with what each key is for")
    .option("--json", "one JSON document");
  addClusterOptions(command).action(
    async (type: string, words: string[], options: ConfigDescribeOptions) => {
      const { runConfigDescribe } = await import("../config/config-commands.ts");
      await runConfigDescribe(type, words, options, io);
    },
  );
  addNotes(command, io, [
    "SOURCE: topic, group, client-metrics and broker are set for that one, broker-defaults for every broker, static is what the broker was started with. DEFAULT is what would hold if that were unset, where the broker tells it.",
  ]);
  addExamples(command, io, [
    ["sluice config describe topic orders", "what was set for a topic"],
    ["sluice config describe topic orders retention.ms --doc", "a key, and what it is for"],
    ["sluice config describe broker 1 --all", "everything a broker goes by"],
    ["sluice config describe broker-defaults", "what was set for all brokers while they run"],
  ]);
}
