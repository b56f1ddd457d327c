/**
 * Which commands exist and where their code is. A command is loaded when it is called; all of them only for `--help` and for a name
 * that is none, so a start does not pay for the other commands.
 */
import type { Command } from "commander";
import type { CommandIo } from "./command-io.ts";

/** What every file of `src/cli/commands/` exports. */
export interface CommandModule {
  /** Adds the command to the program. Light: what the command needs to run is imported when it runs. */
  readonly register: (program: Command, io: CommandIo) => void;
}

/** A command by the words that call it. */
export interface CommandEntry {
  readonly words: readonly [string] | readonly [string, string];
  load(): Promise<CommandModule>;
}

/** In the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  { words: ["start"], load: () => import("./commands/start.ts") },
  { words: ["produce"], load: () => import("./commands/produce.ts") },
  { words: ["consume"], load: () => import("./commands/consume.ts") },
  { words: ["topic", "create"], load: () => import("./commands/topic-create.ts") },
  { words: ["topic", "list"], load: () => import("./commands/topic-list.ts") },
  { words: ["topic", "describe"], load: () => import("./commands/topic-describe.ts") },
  { words: ["topic", "alter"], load: () => import("./commands/topic-alter.ts") },
  {
    words: ["topic", "delete-records"],
    load: () => import("./commands/topic-delete-records.ts"),
  },
  { words: ["topic", "delete"], load: () => import("./commands/topic-delete.ts") },
  { words: ["group", "list"], load: () => import("./commands/group-list.ts") },
  { words: ["group", "describe"], load: () => import("./commands/group-describe.ts") },
  { words: ["group", "reset-offsets"], load: () => import("./commands/group-reset-offsets.ts") },
  { words: ["group", "delete"], load: () => import("./commands/group-delete.ts") },
  { words: ["group", "delete-offsets"], load: () => import("./commands/group-delete-offsets.ts") },
  { words: ["config", "describe"], load: () => import("./commands/config-describe.ts") },
  { words: ["config", "set"], load: () => import("./commands/config-set.ts") },
  { words: ["config", "unset"], load: () => import("./commands/config-unset.ts") },
  { words: ["config", "append"], load: () => import("./commands/config-append.ts") },
  { words: ["config", "subtract"], load: () => import("./commands/config-subtract.ts") },
  { words: ["config", "list"], load: () => import("./commands/config-list.ts") },
  { words: ["cluster", "status"], load: () => import("./commands/cluster-status.ts") },
  { words: ["cluster", "drain"], load: () => import("./commands/cluster-drain.ts") },
  { words: ["cluster", "undrain"], load: () => import("./commands/cluster-undrain.ts") },
  { words: ["cluster", "remove"], load: () => import("./commands/cluster-remove.ts") },
  // Without a second word: what the cluster is made of.
  { words: ["cluster"], load: () => import("./commands/cluster.ts") },
  { words: ["local-cluster"], load: () => import("./commands/local-cluster.ts") },
  { words: ["bench"], load: () => import("./commands/bench.ts") },
  { words: ["doctor"], load: () => import("./commands/doctor.ts") },
  { words: ["log", "dump"], load: () => import("./commands/log-dump.ts") },
  { words: ["log", "verify"], load: () => import("./commands/log-verify.ts") },
  { words: ["log", "repair"], load: () => import("./commands/log-repair.ts") },
  { words: ["completion"], load: () => import("./commands/completion.ts") },
];

/** What the groups are for: the first word of a command of two. */
export const GROUPS: Readonly<Record<string, string>> = {
  topic: "create, list, describe, alter and delete topics",
  group: "show groups and their lag, reset offsets, delete",
  config: "show and change configurations of topics, brokers, groups and client metrics",
  cluster: "show brokers, disks, the quorum and features; watch, empty and remove nodes",
  log: "look into log directories without a broker",
};

/** The command that `args` call, or null; options before and between its words are skipped. */
export function findCommand(args: readonly string[]): CommandEntry | null {
  const [first, second] = args.filter((argument) => !argument.startsWith("-"));
  return (
    COMMANDS.find(({ words }) => words[0] === first && (words[1] ?? second) === second) ?? null
  );
}
