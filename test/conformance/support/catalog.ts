/**
 * The clients of the conformance tests: what each needs, how it is opened, and whether the quick run includes it. Adding a client is one
 * row here and one folder beside it.
 */
import { join } from "node:path";
import { KcatClient } from "../kcat/kcat.ts";
import { ConsoleClient, javaCommand } from "../java/console.ts";
import { ProgramClient, type Client } from "./client.ts";
import {
  go,
  HERE,
  java,
  kcat,
  needTool,
  newerPlatformatic,
  python,
  rust,
  Unavailable,
} from "./toolchains.ts";

/** One client on one runtime. */
export interface ClientEntry {
  readonly name: string;
  /** Part of the quick run, or only of the full one. */
  readonly isQuick: boolean;
  /** Its set-up compiles. */
  readonly isBuilt: boolean;
  /** Installs what is missing; resolves with a function that opens the client, or throws {@link Unavailable}. */
  prepare(): Promise<(bootstrap: string) => Client>;
}

const program = (
  name: string,
  command: () => Promise<readonly string[]>,
  isBuilt = false,
): ClientEntry => ({
  name,
  isQuick: true,
  isBuilt,
  prepare: async () => {
    const words = await command();
    return (bootstrap) => new ProgramClient([...words, "--bootstrap", bootstrap], HERE);
  },
});

const node = async (): Promise<string> => {
  const path = needTool("node");
  const version = Bun.spawnSync([path, "-p", "process.versions.bun ?? process.versions.node"])
    .stdout.toString()
    .trim();
  if (path === process.execPath || Number(version.split(".")[0]) < 20)
    throw new Unavailable(`node 20 or newer is needed, found ${version}`);
  return path;
};

const pythonProgram = (name: string): ClientEntry =>
  program(name, async () => [await python(), `${name}/program.py`]);
const goProgram = (name: string): ClientEntry =>
  program(name, async () => [await go(), "--client", name], true);

/** Every client, cheapest set-up first. */
export const CLIENTS: readonly ClientEntry[] = [
  program("kafkajs on bun", async () => [process.execPath, "kafkajs/program.mjs"]),
  program("kafkajs on node", async () => [await node(), "kafkajs/program.mjs"]),
  program("platformatic 1 on bun", async () => [process.execPath, "platformatic/program.mjs"]),
  program("platformatic 1 on node", async () => [await node(), "platformatic/program.mjs"]),
  program("platformatic 2 on bun", async () => [
    process.execPath,
    "platformatic/program.mjs",
    "--from",
    await newerPlatformatic(),
  ]),
  {
    name: "kcat",
    isQuick: true,
    isBuilt: false,
    prepare: async () =>
      (
        (path) => (bootstrap: string) =>
          new KcatClient(path, bootstrap)
      )(await kcat()),
  },
  pythonProgram("confluent-kafka"),
  pythonProgram("kafka-python"),
  pythonProgram("aiokafka"),
  program("java", async () => [
    ...javaCommand(await java(), "tools"),
    join(HERE, "java/Program.java"),
  ]),
  {
    name: "java console tools",
    isQuick: true,
    isBuilt: false,
    prepare: async () =>
      (
        (libraries) => (bootstrap: string) =>
          new ConsoleClient(libraries, bootstrap)
      )(await java()),
  },
  program("rskafka", async () => [await rust()], true),
  goProgram("franz-go"),
  goProgram("sarama"),
  goProgram("kafka-go"),
];
