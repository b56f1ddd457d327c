/** `sluice completion`: its help; the work is in `src/cli/completion/run-completion.ts`. */
import type { Command } from "commander";
import type { CommandIo } from "../command-io.ts";
import { addExamples, addNotes } from "../program.ts";

/** Adds `completion SHELL`. */
export function register(program: Command, io: CommandIo): void {
  const command = program
    .command("completion")
    .description("print a script that makes a shell complete commands, topics and groups")
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => {
      const { runCompletion } = await import("../completion/run-completion.ts");
      const { readChoice } = await import("../option-values.ts");
      const { SHELLS } = await import("../completion/scripts.ts");
      const launch = [process.execPath, Bun.main];
      await runCompletion(readChoice("completion", shell, SHELLS), launch, io);
    });
  addNotes(command, io, [
    "Topics, groups, brokers and keys come from the cluster of --bootstrap, where it is typed already, or of 127.0.0.1:9092; one that does not answer within a second is passed over in silence.",
  ]);
  addExamples(command, io, [
    ["sluice completion fish | source", "in ~/.config/fish/config.fish"],
    ['eval "$(sluice completion bash)"', "in ~/.bashrc"],
    ["source <(sluice completion zsh)", "in ~/.zshrc"],
  ]);
}
