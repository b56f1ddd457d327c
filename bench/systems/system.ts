/**
 * What the runner needs from a broker under test: make it available, start it on a directory and a port, say what it
 * is and how it is configured, stop it. Both adapters go through the same helpers here, so that start-up is timed the
 * same way: from the spawn to the first answered ApiVersions.
 */
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";

/** Repository root: adapters run commands from there. */
export const root: string = join(import.meta.dir, "../..");

/** When an acknowledgement may be sent, the same for both sides of a comparison. */
export type Durability = "page-cache" | "fsync";

/** Where a broker keeps its data and where it listens. */
export interface StartOptions {
  /** Emptied or created by the caller. */
  readonly directory: string;
  readonly port: number;
  /** Broker settings beyond the adapter's own, in Kafka's names; the same for all sides of a comparison. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Processors that it is held on; all of them where nothing is said. */
  readonly cpus?: readonly number[];
}

/** A broker that answers. */
export interface RunningSystem {
  readonly pid: number;
  /** All its processes, of a cluster those of all nodes. */
  readonly pids: readonly number[];
  /** `host:port` for clients. */
  readonly bootstrap: string;
  /** Spawn to first ApiVersions answer, ms. */
  readonly startUpMs: number;
  /** Where its logs are, to drop them from the page cache; `null` where that is not known. */
  readonly dataDirectory: string | null;
  /** Asks it to stop and waits; kills it after half a minute. */
  stop(): Promise<void>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
}

/** A kind of broker. */
export interface System {
  readonly name: string;
  /** How long it must be loaded before its figures settle (JIT), seconds. */
  readonly warmUpSeconds: number;
  /** Whether it is a broker: keeps what it has over a restart, and takes any client. The physical limit is none. */
  readonly isBroker: boolean;
  /** Whether we start it; one that somebody else runs is neither started nor stopped. */
  readonly isOurs: boolean;
  /** Builds or fetches what is missing. Throws with a remedy when that cannot be done. */
  prepare(): Promise<void>;
  version(): Promise<string>;
  /** Settings that differ from its defaults, and the flags it runs with: part of the record. */
  config(options: StartOptions): Readonly<Record<string, string>>;
  /** Topic settings that give `acks=all` (and `acks=1`) the durability asked for. */
  topicConfig(durability: Durability, acks: number): Readonly<Record<string, string>>;
  start(options: StartOptions): Promise<RunningSystem>;
}

/** ApiVersions v0 with an empty client id: the oldest question that every broker answers. */
const apiVersionsRequest = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0]);

/** Asks once; resolves to true when a whole frame came back. */
function answers(port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ host: "127.0.0.1", port, noDelay: true });
    let received = 0;
    const settle = (isAnswered: boolean): void => {
      socket.destroy();
      resolve(isAnswered);
    };
    socket.setTimeout(timeoutMs, () => settle(false));
    socket.on("connect", () => socket.write(apiVersionsRequest));
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (received > 8) settle(true);
    });
    socket.on("error", () => settle(false));
    socket.on("close", () => settle(false));
  });
}

const wait = (delayMs: number): Promise<void> => Bun.sleep(delayMs);

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}

/** What `launch` needs. */
export interface LaunchOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly cpus?: readonly number[] | undefined;
  readonly environment?: Readonly<Record<string, string>>;
  readonly port: number;
  /** Where its logs are. */
  readonly dataDirectory?: string;
  /** Output goes to `<logDirectory>/<name>.out`. */
  readonly logDirectory: string;
  readonly timeoutMs: number;
}

/**
 * Spawns a broker and waits until it answers ApiVersions.
 *
 * @throws Error with the end of its output when it exits first or stays silent; it is then stopped.
 */
export async function launch(options: LaunchOptions): Promise<RunningSystem> {
  const { name, port } = options;
  mkdirSync(options.logDirectory, { recursive: true });
  const logPath = join(options.logDirectory, `${name}.out`);
  const log = openSync(logPath, "w");
  const startedMs = performance.now();
  const { cpus } = options;
  const held = cpus === undefined ? [] : ["taskset", "-c", cpus.join(",")];
  const child = Bun.spawn([...held, ...options.command], {
    cwd: root,
    env: { ...process.env, ...options.environment },
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  closeSync(log);
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
    await child.exited;
    clearTimeout(timer);
  };
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  while (!(await answers(port, 1000))) {
    const hasExited = child.exitCode !== null || child.signalCode !== null;
    if (hasExited || performance.now() - startedMs > options.timeoutMs) {
      if (!hasExited) await stop();
      const tail = readFileSync(logPath, "utf8").split("\n").slice(-12).join("\n");
      const reason = hasExited ? `exited with ${child.exitCode}` : "did not answer in time";
      throw new Error(`${name} ${reason}; the end of ${logPath}:\n${tail}`);
    }
    await wait(1);
  }
  const startUpMs = performance.now() - startedMs;
  return {
    pid: child.pid,
    pids: [child.pid],
    bootstrap: `127.0.0.1:${port}`,
    startUpMs,
    dataDirectory: options.dataDirectory ?? null,
    stop,
    kill,
  };
}

/** Runs a command to its end and returns its output; throws with its errors when it fails. */
export async function runCommand(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) {
    throw new Error(
      `${command.join(" ")} exited with ${code}\n${output.slice(-2000)}${errors.slice(-2000)}`,
    );
  }
  return output;
}
