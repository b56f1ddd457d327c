/**
 * Child processes for tests: commands that run to their end within a bound of time, servers that are ready when a condition holds,
 * free ports, temporary directories. A helper that starts something also ends it: by its process id, never by name.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a command left behind. */
export interface CommandResult {
  readonly exitCode: number;
  readonly output: Buffer;
  readonly errors: string;
  readonly isTimedOut: boolean;
}

/** Options of {@link runCommand}. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly environment?: Record<string, string>;
  readonly input?: Uint8Array | string;
  readonly timeoutMs?: number;
}

/** Runs a command to its end; past `timeoutMs` (default 60 s) it is killed and `isTimedOut` says so. */
export async function runCommand(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = Bun.spawn([...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.environment },
    stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
    stdout: "pipe",
    stderr: "pipe",
  });
  let isTimedOut = false;
  const timer = setTimeout(() => {
    isTimedOut = true;
    child.kill("SIGKILL");
  }, options.timeoutMs ?? 60_000);
  try {
    const [output, errors, exitCode] = await Promise.all([
      new Response(child.stdout).arrayBuffer(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, output: Buffer.from(output), errors, isTimedOut };
  } finally {
    clearTimeout(timer);
  }
}

/** Like {@link runCommand}, but a command that fails throws with the end of what it printed. */
export async function mustRun(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await runCommand(command, options);
  if (result.exitCode === 0) return result.output.toString();
  const why = result.isTimedOut
    ? `no end after ${options.timeoutMs ?? 60_000} ms`
    : `exit ${result.exitCode}`;
  const said = `${result.output.toString()}\n${result.errors}`.trim().slice(-1_500);
  throw new Error(`${command.slice(0, 3).join(" ")}: ${why}\n${said}`);
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Whether something listens on 127.0.0.1:`port`. */
export async function isListening(port: number, host = "127.0.0.1"): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", settle(true)).once("error", settle(false));
  });
}

/** Polls `condition` until it holds; throws what `describe` says once `timeoutMs` has passed. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  describe: () => string,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(describe());
    await Bun.sleep(10);
  }
}

/** A new directory under the system's temporary one; `remove` deletes it with all it holds. */
export function temporaryDirectory(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `sluice-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
