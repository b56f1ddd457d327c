/**
 * The outside world of a command: three streams, what is known of the terminal, the environment and Ctrl-C. A port, so that a
 * command can be run in a test without a process; `processIo` is the real one.
 *
 * Colour is decided once: `--no-color` or NO_COLOR turn it off, FORCE_COLOR turns it on, otherwise a stream is coloured when it is a
 * terminal that is not "dumb". @see https://no-color.org, https://force-color.org
 */
import { isatty } from "node:tty";
import { ClosedOutputError } from "./failure.ts";
import { SignalEcho } from "./signal-echo.ts";

/** Where a command writes. */
export interface OutputStream {
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  /** Columns of the terminal; 80 where there is none. */
  readonly width: number;
  /**
   * Writes and settles when the bytes are on their way: awaiting it is the back-pressure. The bytes may be reused after that.
   *
   * @throws ClosedOutputError when nobody reads any more.
   */
  write(chunk: string | Uint8Array): Promise<void>;
}

/** What a command reads. */
export interface InputStream {
  readonly isTerminal: boolean;
  /** The bytes as they come, to the end or until `signal` aborts. Can be asked for once. */
  chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Everything a command may touch besides files and sockets. */
export interface CommandIo {
  readonly version: string;
  /** The version of Bun that this version is tested with. */
  readonly testedBun: string;
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The code the process ends with unless the command throws; 0 at first. */
  setExitCode(code: number): void;
  /**
   * Aborted by the first SIGINT or SIGTERM; a second one ends the process with 130, unless it is but the echo of the first. Whoever asks takes over ending in order, so it
   * must be asked for before the long part of the work.
   */
  interruption(): AbortSignal;
}

const DEFAULT_WIDTH = 80;
const INTERRUPTED_EXIT_CODE = 130;

/** Whether to colour a stream. */
export function decideColor(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): boolean {
  const end = args.indexOf("--");
  if (args.slice(0, end < 0 ? args.length : end).includes("--no-color")) return false;
  if ((environment["NO_COLOR"] ?? "") !== "") return false;
  const forced = environment["FORCE_COLOR"];
  if (forced !== undefined && forced !== "0" && forced !== "false") return true;
  if (forced !== undefined) return false;
  return isTerminal && environment["TERM"] !== "dumb";
}

/** The streams of this process. */
export function processIo(
  { version, testedBun }: Pick<CommandIo, "version" | "testedBun">,
  args: readonly string[],
): CommandIo {
  const environment = process.env;
  let interruption: AbortSignal | null = null;
  return {
    version,
    testedBun,
    environment,
    stdin: {
      isTerminal: isatty(0),
      chunks: (signal) => untilAborted(process.stdin, signal),
    },
    stdout: processStream(1, () => process.stdout, args),
    stderr: processStream(2, () => process.stderr, args),
    setExitCode: (code) => {
      process.exitCode = code;
    },
    interruption: () => {
      interruption ??= signalOfProcess();
      return interruption;
    },
  };
}

/** The chunks of a stream; an abort ends them at once, also while one is waited for. */
export async function* untilAborted(
  stream: NodeJS.ReadableStream & { destroy?(): void },
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const end = (): void => {
    stream.destroy?.();
  };
  if (isAborted(signal)) {
    end();
    return;
  }
  signal?.addEventListener("abort", end, { once: true });
  try {
    for await (const chunk of stream) {
      yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
    }
  } catch (error) {
    if (!isAborted(signal)) throw error;
  } finally {
    signal?.removeEventListener("abort", end);
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

function signalOfProcess(): AbortSignal {
  const controller = new AbortController();
  const echo = new SignalEcho();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (echo.isEcho(signal)) return;
    if (controller.signal.aborted) process.exit(INTERRUPTED_EXIT_CODE);
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return controller.signal;
}

/** Opens the stream itself only when it is written to: that takes a start some milliseconds. */
function processStream(
  descriptor: number,
  stream: () => NodeJS.WriteStream,
  args: readonly string[],
): OutputStream {
  let isWatched = false;
  const isTerminal = isatty(descriptor);
  return {
    isTerminal,
    hasColor: decideColor(args, process.env, isTerminal),
    get width() {
      const columns = stream().columns as number | undefined;
      return columns !== undefined && columns > 0 ? columns : DEFAULT_WIDTH;
    },
    write: (chunk) => {
      const target = stream();
      if (!isWatched) {
        isWatched = true;
        // Failures arrive at the write below as well; unheard, the event would end the process with a stack.
        target.on("error", () => {});
      }
      return new Promise((resolve, reject) => {
        target.write(chunk, (error) => {
          if (error === null || error === undefined) resolve();
          else if ("code" in error && error.code === "EPIPE") reject(new ClosedOutputError());
          else reject(error);
        });
      });
    },
  };
}
