/** Signals that come while a broker starts: it stops in order from the first moment on. Each as a process. */
import { describe, expect, test } from "bun:test";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { freePort, isListening, mustRun, until } from "../support/process.ts";
import { spawnSluice } from "../support/run-sluice.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

const WAIT_MS = 20_000;
const CLEAN = ".kafka_cleanshutdown";
const META = "version=1\nnode.id=1\ncluster.id=IZ4CQMqRTyuUvS_uLm_rug\n";

interface Starting {
  readonly process: ReturnType<typeof spawnSluice>;
  /** What it has logged so far. */
  log(): string;
  /** Exit code, when the log is complete. */
  readonly ended: Promise<number>;
}

/** Starts a broker; settles when its port takes connections, which is before the logs are looked at. */
async function starting(directory: string, ...overrides: readonly string[]): Promise<Starting> {
  const port = await freePort();
  const pairs = [
    `listeners=PLAINTEXT://127.0.0.1:${port}`,
    "sluice.admin.listener=",
    `log.dirs=${directory}`,
    ...overrides,
  ];
  const child = spawnSluice(["start", ...pairs.flatMap((pair) => ["--override", pair])]);
  let text = "";
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) text += decoder.decode(chunk, { stream: true });
  };
  const ended = Promise.all([child.exited, read()]).then(([exitCode]) => exitCode);
  await until(
    () => isListening(port),
    WAIT_MS,
    () => `the port never took connections: ${text}`,
  );
  return { process: child, log: () => text, ended };
}

/** A log directory that opens only when it is let: one of its files is a pipe that nobody writes to yet. */
async function blockedDirectory(
  path: string,
): Promise<{ readonly data: string; release(): Promise<void> }> {
  const data = join(path, "data");
  const [pipe, file] = [join(path, "pipe"), join(data, ".meta.properties.copy")];
  await mkdir(data);
  await Bun.write(join(data, "meta.properties"), META);
  await mustRun(["mkfifo", pipe]);
  await link(pipe, file);
  return {
    data,
    async release() {
      await unlink(file);
      await (await open(pipe, "r+")).close();
    },
  };
}

const untilLogged = (broker: Starting, words: string): Promise<void> =>
  until(
    () => broker.log().includes(words),
    WAIT_MS,
    () => `never logged '${words}': ${broker.log()}`,
  );

const events = (log: string): string[] =>
  log
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\S+ +(\S+) +/, "$1 "));

describe("a signal while the broker starts", () => {
  test.each([1, 2])(
    "just after the port takes connections, %d network threads",
    async (threads) => {
      await using directory = await temporaryDirectory();
      const broker = await starting(directory.path, `num.network.threads=${threads}`);
      broker.process.kill("SIGTERM");
      expect([await broker.ended, broker.log().includes("stopped")]).toEqual([0, true]);
      // It may end before anything was opened; what was is closed.
      const [isOpened, isClosed] = await Promise.all(
        ["meta.properties", CLEAN].map((name) => Bun.file(join(directory.path, name)).exists()),
      );
      expect(isClosed).toBe(isOpened === true);
      await using again = await startBroker({ dataDir: directory.path });
      expect(again.logged.filter((line) => line.includes("unclean"))).toEqual([]);
    },
    30_000,
  );

  test("while the logs are opened: they are, and then closed in order", async () => {
    await using directory = await temporaryDirectory();
    const { data, release } = await blockedDirectory(directory.path);
    const broker = await starting(data);
    broker.process.kill("SIGTERM");
    await untilLogged(broker, "stopping");
    expect(await Bun.file(join(data, CLEAN)).exists()).toBe(false);
    await release();
    expect([await broker.ended, events(broker.log())]).toEqual([
      0,
      ['INFO stopping signal=SIGTERM after="the logs are open"', "INFO stopped"],
    ]);
    expect(await Bun.file(join(data, CLEAN)).exists()).toBe(true);
    await using again = await startBroker({ dataDir: data });
    expect(again.logged.filter((line) => line.includes("unclean"))).toEqual([]);
  }, 30_000);

  test("a second one ends it at once", async () => {
    await using directory = await temporaryDirectory();
    const { data, release } = await blockedDirectory(directory.path);
    const broker = await starting(data);
    broker.process.kill("SIGTERM");
    await untilLogged(broker, "stopping");
    broker.process.kill("SIGINT");
    expect([await broker.ended, events(broker.log())]).toEqual([
      130,
      [
        'INFO stopping signal=SIGTERM after="the logs are open"',
        "WARN stopping at once, the next start will check the logs signal=SIGINT",
      ],
    ]);
    expect(await Bun.file(join(data, CLEAN)).exists()).toBe(false);
    await release();
    await using _again = await startBroker({ dataDir: data });
  }, 30_000);
});
