/** `sluice topic` and `sluice doctor` as processes against a broker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { sluice } from "../support/run-sluice.ts";
import { startBroker, type TestBroker } from "../support/start-broker.ts";

let broker: TestBroker;
let at: readonly string[];

beforeAll(async () => {
  broker = await startBroker();
  at = ["--bootstrap", broker.bootstrapServers];
});
afterAll(() => broker[Symbol.asyncDispose]());

describe("sluice topic", () => {
  test("creates, lists, describes and deletes", async () => {
    const created = await sluice([
      "topic",
      "create",
      "orders",
      "--partitions",
      "2",
      "--config",
      "retention.ms=1000",
      ...at,
    ]);
    expect(created).toEqual({
      exitCode: 0,
      out: "Created topic orders: 2 partitions, replication factor 1.\n",
      err: "",
    });
    const [again, tolerated, listed, described] = await Promise.all([
      sluice(["topic", "create", "orders", ...at]),
      sluice(["topic", "create", "orders", "--if-not-exists", ...at]),
      sluice(["topic", "list", ...at]),
      sluice(["topic", "describe", "orders", "--json", ...at]),
    ]);
    expect([again, tolerated, listed]).toEqual([
      {
        exitCode: 1,
        out: "",
        err: "sluice: Topic 'orders' already exists (TOPIC_ALREADY_EXISTS)\n        --if-not-exists takes that for success.\n",
      },
      { exitCode: 0, out: "Topic orders exists already.\n", err: "" },
      {
        exitCode: 0,
        out: "TOPIC   PARTITIONS  REPLICAS  SIZE\norders           2         1   0 B\n",
        err: "",
      },
    ]);
    const [topic] = JSON.parse(described.out) as [Record<string, unknown>];
    const shape: object = { ...topic, topicId: "", configs: [] };
    expect(shape).toEqual({
      name: "orders",
      topicId: "",
      isInternal: false,
      replicationFactor: 1,
      partitions: [0, 1].map((partition) => ({
        partition,
        leader: 1,
        leaderEpoch: 0,
        replicas: [1],
        isr: [1],
        startOffset: 0,
        endOffset: 0,
        sizeBytes: 0,
      })),
      configs: [],
    });
    expect(
      (topic["configs"] as readonly unknown[]).find(
        (row) => !(row as { isDefault: boolean }).isDefault,
      ),
    ).toEqual({
      name: "retention.ms",
      value: "1000",
      isDefault: false,
    });
    expect(await sluice(["topic", "delete", "orders", "nothing", ...at])).toEqual({
      exitCode: 1,
      out: "Deleted topic orders.\n",
      err: expect.stringContaining("sluice: topic 'nothing': "),
    });
    expect(await sluice(["topic", "list", "--names", ...at])).toEqual({
      exitCode: 0,
      out: "",
      err: "",
    });
  });

  test("says where it could not connect, and what to do", async () => {
    const { exitCode, err } = await sluice(["topic", "list", "--bootstrap", "127.0.0.1:1"]);
    expect([exitCode, err.split("\n")[0]]).toEqual([
      1,
      "sluice: cannot connect to 127.0.0.1:1: nothing listens there",
    ]);
  });

  test("is not held up by something that is no broker", async () => {
    await using web = await listen((socket) =>
      socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    );
    const { exitCode, err } = await sluice([
      "topic",
      "list",
      "--bootstrap",
      `127.0.0.1:${web.port}`,
    ]);
    expect([exitCode, err.includes("does not speak Kafka's protocol")]).toEqual([1, true]);
  });
});

describe("sluice doctor", () => {
  test("sees a broker that runs, and dials what it advertises", async () => {
    const { exitCode, out } = await sluice([
      "doctor",
      "--json",
      "--override",
      `log.dirs=${broker.dataDir}`,
      "--override",
      `listeners=PLAINTEXT://127.0.0.1:${broker.port}`,
    ]);
    const findings = JSON.parse(out) as { check: string; status: string; message: string }[];
    const of = (check: string): string | undefined =>
      findings.find((one) => one.check === check)?.message;
    expect([
      exitCode,
      findings.filter(({ status }) => status === "fail"),
      of("directory")?.startsWith(`${broker.dataDir} is in use by `),
      of("listener PLAINTEXT")?.startsWith(`127.0.0.1:${broker.port}: served by `),
      of("advertised 1")?.startsWith(
        `clients are sent to 127.0.0.1:${broker.port}, which answers with `,
      ),
    ]).toEqual([0, [], true, true, true]);
  });

  test("an advertised address that nobody reaches is a failure", async () => {
    await using unreachable = await startBroker({
      config: {
        listeners: "PLAINTEXT://127.0.0.1:0",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:1",
      },
    });
    const { exitCode, out } = await sluice([
      "doctor",
      "--json",
      "--bootstrap",
      unreachable.bootstrapServers,
    ]);
    const findings = JSON.parse(out) as { check: string; status: string; message: string }[];
    expect([exitCode, findings.find(({ check }) => check === "advertised 1")]).toEqual([
      1,
      {
        check: "advertised 1",
        status: "fail",
        message:
          "clients are sent to 127.0.0.1:1 and do not get there: cannot connect to 127.0.0.1:1: nothing listens there",
        remedies: [
          "Set 'advertised.listeners' of that broker to an address that its clients can reach.",
        ],
      } as never,
    ]);
  });

  test("a port that something else has is a failure, a wrong key a sentence", async () => {
    await using web = await listen((socket) =>
      socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    );
    const taken = await sluice([
      "doctor",
      "--override",
      `listeners=PLAINTEXT://127.0.0.1:${web.port}`,
    ]);
    const wrong = await sluice(["doctor", "--override", "num.partitions=many"]);
    expect([
      taken.exitCode,
      taken.out.includes("which does not answer as a broker"),
      taken.out.endsWith("what failed keeps it from working.\n"),
      wrong.exitCode,
      /^fail {2}configuration +.*num\.partitions/m.test(wrong.out),
    ]).toEqual([1, true, true, 1, true]);
  });
});

/** A server that is no broker. */
async function listen(
  onConnection: (socket: Socket) => void,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server: Server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: () => {
      server.close();
      return Promise.resolve();
    },
  };
}
