/**
 * A command's outside world in memory: what it wrote, the exit code it set, and an interruption that a test can cause.
 *
 *     const io = fakeIo({ stdin: "a\nb\n" });
 *     await runCommandLine(["start", "--help"], io);
 *     io.out; io.err; io.exitCode;
 */
import type { CommandIo, OutputStream } from "#cli/command-io.ts";

/** See the head of the file. */
export interface FakeIo extends CommandIo {
  /** Everything written so far. */
  readonly out: string;
  readonly err: string;
  readonly exitCode: number;
  interrupt(): void;
}

/** How the outside world looks; a pipe of 80 columns without colour unless said otherwise. */
export interface FakeIoOptions {
  readonly stdin?: string | Uint8Array;
  readonly isTerminal?: boolean;
  readonly width?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A world of its own. */
export function fakeIo(options: FakeIoOptions = {}): FakeIo {
  const { isTerminal = false, width = 80, environment = {} } = options;
  const decoder = new TextDecoder();
  const written = { out: "", err: "" };
  const controller = new AbortController();
  let exitCode = 0;
  const stream = (name: "out" | "err"): OutputStream => ({
    isTerminal,
    hasColor: isTerminal,
    width,
    write: (chunk) => {
      written[name] += typeof chunk === "string" ? chunk : decoder.decode(chunk);
      return Promise.resolve();
    },
  });
  return {
    version: "1.2.3",
    testedBun: Bun.version,
    environment,
    stdin: {
      isTerminal,
      async *chunks() {
        const { stdin = "" } = options;
        yield typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
      },
    },
    stdout: stream("out"),
    stderr: stream("err"),
    setExitCode: (code) => {
      exitCode = code;
    },
    interruption: () => controller.signal,
    get out() {
      return written.out;
    },
    get err() {
      return written.err;
    },
    get exitCode() {
      return exitCode;
    },
    interrupt: () => controller.abort(),
  };
}
