/**
 * `sluice` as a process: what it printed and how it ended.
 *
 *     const { exitCode, out, err } = await sluice(["topic", "list", "--bootstrap", servers]);
 *     const { out } = await sluice(["produce", "t", "-b", servers], { stdin: "one\ntwo\n" });
 */
import { join } from "node:path";

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");

/** How a command ended. */
export interface SluiceRun {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** How a command is run; without input, in a pipe, unless said otherwise. */
export interface SluiceOptions {
  readonly stdin?: string | Uint8Array;
  /** Words in front of the command, to run it as somebody else for instance. */
  readonly prefix?: readonly string[];
}

/** The command, its streams in pipes. */
export function spawnSluice(
  args: readonly string[],
  options: SluiceOptions = {},
): Bun.Subprocess<Uint8Array | "ignore", "pipe", "pipe"> {
  const { stdin, prefix = [] } = options;
  return Bun.spawn([...prefix, process.execPath, MAIN, ...args], {
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs a command to its end. */
export async function sluice(
  args: readonly string[],
  options: SluiceOptions = {},
): Promise<SluiceRun> {
  const child = spawnSluice(args, options);
  const [out, err, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, out, err };
}
