/**
 * The process: what it prints, how it ends, and with which exit code.
 */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");

function run(...args: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([process.execPath, MAIN, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function firstLines(
  stream: ReadableStream<Uint8Array>,
  isEnough: (text: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (isEnough(text)) break;
  }
  return text;
}

describe("sluice start", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "tells where it is and stops in order on %s",
    async (signal) => {
      await using directory = await temporaryDirectory();
      const broker = run(
        "start",
        "--override",
        `log.dirs=${directory.path}`,
        "--override",
        "listeners=PLAINTEXT://127.0.0.1:0",
      );
      const text = await firstLines(broker.stdout, (so_far) => so_far.includes("sluice consume"));
      const port = Number(/PLAINTEXT:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
      expect([
        text.includes(`Data is in ${directory.path}`),
        text.includes(`sluice produce greetings --bootstrap 127.0.0.1:${port}\n`),
      ]).toEqual([true, true]);
      const socket = connect(port, "127.0.0.1");
      const isEnded = new Promise<void>((resolve) => socket.on("close", () => resolve()));
      await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
      broker.kill(signal);
      expect(await broker.exited).toBe(0);
      await isEnded;
      expect(await Bun.file(join(directory.path, ".kafka_cleanshutdown")).exists()).toBe(true);
    },
  );

  test("a taken port is one clear line and exit code 1", async () => {
    await using taken = await startBroker();
    await using directory = await temporaryDirectory();
    const broker = run(
      "start",
      "--override",
      `log.dirs=${directory.path}`,
      "--override",
      `listeners=PLAINTEXT://127.0.0.1:${taken.port}`,
    );
    const text = await new Response(broker.stderr).text();
    // Its own process holds the port: it is told by pid.
    expect([
      await broker.exited,
      text.split("\n").map((line) => line.replace(/taken: .* \(pid/, "taken: X (pid")),
    ]).toEqual([
      1,
      [
        `sluice: cannot start: port ${taken.port} is taken: X (pid ${process.pid}) listens on 127.0.0.1:${taken.port}`,
        expect.stringMatching(
          /^ {8}To listen elsewhere: --override listeners=PLAINTEXT:\/\/127\.0\.0\.1:\d+$/,
        ),
        `        To end the other one: kill ${process.pid}`,
        "",
      ],
    ]);
  });

  test.each([
    [["start", "--override", "nonsense"], 2, "--override wants KEY=VALUE"],
    [["start", "--overide", "a=b"], 2, "unknown option '--overide' (Did you mean --override?)"],
    [["start", "no-such-file.properties"], 1, "cannot read no-such-file.properties"],
    [["start", "--override", "num.partitions=many"], 1, "num.partitions"],
    [["strat"], 2, "unknown command 'strat' (Did you mean start?)"],
  ])("%j is refused with %i", async (args, exitCode, expected) => {
    const broker = run(...args);
    const text = await new Response(broker.stderr).text();
    expect([await broker.exited, text.startsWith("sluice: "), text.includes(expected)]).toEqual([
      exitCode,
      true,
      true,
    ]);
  });

  test("reads the environment between the file and the overrides, and says where each key was set", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "server.properties");
    await Bun.write(file, "listeners=PLAINTEXT://127.0.0.1:1\nnum.partitions=2\n");
    const broker = Bun.spawn(
      [process.execPath, MAIN, "start", file, "--override", "num.partitions=4"],
      {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: {
          ...process.env,
          KAFKA_LISTENERS: "PLAINTEXT://127.0.0.1:0",
          KAFKA_LOG_DIRS: `${directory.path}/logs`,
          KAFKA_NUM_PARTITIONS: "3",
          KAFKA_OPTS: "-Dnothing",
          SLUICE_ACKS_ALL_FSYNC: "false",
        },
      },
    );
    const text = await firstLines(broker.stdout, (so_far) => so_far.includes("sluice consume"));
    broker.kill();
    const set = [...text.matchAll(/^ {2}(\S+=\S+) +(\(.*\))$/gm)].map(
      ([, pair, note]) => `${pair} ${note}`,
    );
    expect([await broker.exited, set]).toEqual([
      0,
      [
        "listeners=PLAINTEXT://127.0.0.1:0 (environment KAFKA_LISTENERS)",
        "num.partitions=4 (--override)",
        `log.dirs=${directory.path}/logs (environment KAFKA_LOG_DIRS)`,
        "sluice.acks.all.fsync=false (environment SLUICE_ACKS_ALL_FSYNC)",
      ],
    ]);
  });

  test("a wrong file is told by line, with what is valid, and what else looks wrong", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "server.properties");
    await Bun.write(file, "num.partitons=3\nnum.partitions=zero\n");
    const broker = run("start", file);
    const text = await new Response(broker.stderr).text();
    expect([await broker.exited, text.replaceAll(/ +/g, " ").split("\n")]).toEqual([
      1,
      [
        `sluice: cannot start: num.partitions=zero (${file} line 2): Not a number of type INT; valid is a whole number from 1 (default 1); correct or remove line 2 of ${file}`,
        ` num.partitons (${file} line 1) is ignored: there is no such key; did you mean num.partitions?`,
        "",
      ],
    ]);
  });

  test("reads a server.properties, where later overrides win", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "server.properties");
    await Bun.write(
      file,
      `listeners=PLAINTEXT://127.0.0.1:1\nlog.dirs=${directory.path}/logs\nnode.id=7\n`,
    );
    const broker = run("start", file, "--override", "listeners=PLAINTEXT://127.0.0.1:0");
    const text = await firstLines(broker.stdout, (so_far) => so_far.includes("sluice consume"));
    broker.kill();
    expect([
      await broker.exited,
      text.includes(`Data is in ${directory.path}/logs`),
      text.includes("node.id=7"),
    ]).toEqual([0, true, true]);
  });
});
