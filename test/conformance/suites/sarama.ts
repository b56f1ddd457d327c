/**
 * sarama's functional tests: five brokers behind toxiproxy, some of them stopped and started by the tests themselves.
 *
 *     bun test/conformance/suites/sarama.ts [--kafka LIBS] [--run REGEX] [--update]
 *
 * The tests steer their brokers through `docker compose`. Here a `docker` of our own stands first in the path and passes `start`, `stop` and `logs`
 * on to this process; what would run Java programs inside a container fails, and those tests skip themselves. The names of tests
 * that must pass are in `sarama.allow`.
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BrokerCluster,
  type ClusterOptions,
  kafkaCluster,
  sluiceCluster,
} from "../../support/cluster-process.ts";
import {
  freePort,
  isListening,
  mustRun,
  runCommand,
  temporaryDirectory,
  until,
} from "../../support/process.ts";
import { CACHE, HERE, needTool, Unavailable } from "../support/toolchains.ts";
import { allow, allowed } from "./suite.ts";

const PACKAGE = "github.com/IBM/sarama";
const TOXIPROXY_VERSION = "v2.5.0";
const TOXIPROXY = `github.com/Shopify/toxiproxy/v2/cmd/server@${TOXIPROXY_VERSION}`;
const NODES = 5;
/** Five of them share one machine. */
const JAVA_FLAGS = ["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/** Where the tests look for the proxy of the first broker. */
const FIRST_PROXY_PORT = 29_091;
/** Tests of transactions, which the broker does not have: some would wait for them. Left out on real Kafka too, so that both run the same. */
const SKIP = "Transaction|Txn|UncommittedMessages|TestFuncInitProducerId3";

const words = process.argv.slice(2);
const after = (flag: string): string | undefined => {
  const at = words.indexOf(flag);
  return at < 0 ? undefined : words[at + 1];
};

/** What sarama's compose file says of its brokers: a rack for each, clients by way of a proxy, brokers among themselves without. */
function clusterOptions(directory: string, localPorts: readonly number[]): ClusterOptions {
  return {
    directory,
    nodeCount: NODES,
    javaFlags: JAVA_FLAGS,
    overrides: {
      "default.replication.factor": "2",
      "offsets.topic.replication.factor": "2",
      "transaction.state.log.replication.factor": "2",
      "transaction.state.log.min.isr": "1",
      "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
      "auto.create.topics.enable": "false",
      "inter.broker.listener.name": "INTERNAL",
      "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,LOCAL:PLAINTEXT",
    },
    overridesOf: ({ id, host, port, controllerPort }) => ({
      "broker.rack": String(id),
      listeners: [
        `INTERNAL://${host}:${port}`,
        `LOCAL://${host}:${localPorts[id - 1]}`,
        `CONTROLLER://${host}:${controllerPort}`,
      ].join(","),
      "advertised.listeners": `INTERNAL://${host}:${port},LOCAL://localhost:${FIRST_PROXY_PORT + id - 1}`,
    }),
  };
}

async function buildTests(): Promise<{ readonly binary: string; readonly sources: string }> {
  const go = needTool("go");
  const cwd = join(HERE, "go");
  const binary = join(CACHE, "suites/sarama.test");
  await mustRun([go, "test", "-mod=mod", "-tags", "functional", "-c", "-o", binary, PACKAGE], {
    cwd,
    timeoutMs: 600_000,
  });
  const listed = await mustRun([go, "list", "-mod=mod", "-f", "{{.Dir}}", PACKAGE], { cwd });
  return { binary, sources: listed.trim() };
}

async function buildProxy(): Promise<string> {
  const directory = join(CACHE, "toxiproxy", TOXIPROXY_VERSION);
  const server = join(directory, "server");
  if (existsSync(server)) return server;
  mkdirSync(directory, { recursive: true });
  await mustRun([needTool("go"), "install", TOXIPROXY], {
    environment: { GOBIN: directory },
    timeoutMs: 600_000,
  });
  return server;
}

/** Hears what the tests tell `docker compose`, and does it. */
function serveCompose(cluster: BrokerCluster): Bun.Server<undefined> {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const [action = "", ...rest] = (await request.text()).split(" ");
      const node = cluster.nodes.find(({ id }) => rest.at(-1) === `kafka-${id}`);
      if (node === undefined) return new Response("no such service", { status: 404 });
      if (action === "stop") await node.stop("SIGTERM");
      else if (action === "start") await node.start();
      else if (action === "logs") return new Response(node.log());
      else return new Response("not here", { status: 501 });
      return new Response("");
    },
  });
}

/** A directory with a `docker` that asks the server above. */
function composeCommand(directory: string, port: number): string {
  const path = join(directory, "bin");
  mkdirSync(path, { recursive: true });
  const script = `#!/bin/sh\nshift\nexec curl -sS --fail-with-body --data "$*" http://127.0.0.1:${port}/\n`;
  writeFileSync(join(path, "docker"), script);
  chmodSync(join(path, "docker"), 0o755);
  return path;
}

async function startProxy(
  server: string,
  cluster: BrokerCluster,
  localPorts: readonly number[],
): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const port = await freePort();
  const child = Bun.spawn([server, "-port", String(port)], { stdout: "ignore", stderr: "ignore" });
  const address = `http://127.0.0.1:${port}`;
  await until(
    () => isListening(port),
    10_000,
    () => "toxiproxy does not answer",
  );
  for (const { id } of cluster.nodes) {
    const proxy = {
      name: `kafka${id}`,
      listen: `127.0.0.1:${FIRST_PROXY_PORT + id - 1}`,
      upstream: `127.0.0.1:${localPorts[id - 1]}`,
      enabled: true,
    };
    const made = await fetch(`${address}/proxies`, { method: "POST", body: JSON.stringify(proxy) });
    if (!made.ok) throw new Error(`toxiproxy: ${await made.text()}`);
  }
  return {
    address,
    stop: async () => {
      child.kill();
      await child.exited;
    },
  };
}

const named = (output: string, verdict: string): string[] =>
  [...output.matchAll(new RegExp(`^--- ${verdict}: (\\S+)`, "gm"))]
    .map(([, name = ""]) => name)
    .toSorted();

async function main(): Promise<number> {
  const { binary, sources } = await buildTests();
  const proxyServer = await buildProxy();
  const directory = temporaryDirectory("sarama");
  const localPorts: number[] = [];
  for (let id = 1; id <= NODES; id += 1) localPorts.push(await freePort());
  const options = clusterOptions(directory.path, localPorts);
  const libraries = after("--kafka");
  const cluster =
    libraries === undefined ? await sluiceCluster(options) : await kafkaCluster(libraries, options);
  const compose = serveCompose(cluster);
  let proxy: Awaited<ReturnType<typeof startProxy>> | null = null;
  try {
    await cluster.start();
    proxy = await startProxy(proxyServer, cluster, localPorts);
    const result = await runCommand(
      [
        binary,
        "-test.v",
        "-test.timeout",
        "1700s",
        "-test.run",
        after("--run") ?? ".",
        "-test.skip",
        SKIP,
      ],
      {
        cwd: sources,
        environment: {
          TOXIPROXY_ADDR: proxy.address,
          KAFKA_VERSION: "4.2.0",
          PATH: `${composeCommand(directory.path, compose.port ?? 0)}:${process.env["PATH"] ?? ""}`,
        },
        timeoutMs: 1_800_000,
      },
    );
    const output = result.output.toString();
    const log = join(CACHE, `suites/sarama-${libraries === undefined ? "sluice" : "kafka"}.log`);
    writeFileSync(log, output + result.errors);
    const [passed, failed, skipped] = ["PASS", "FAIL", "SKIP"].map((verdict) =>
      named(output, verdict),
    );
    const listed = after("--run") === undefined ? allowed("sarama") : [];
    const missing = listed.filter((name) => passed?.includes(name) !== true);
    console.log(
      `sarama against five nodes of ${libraries === undefined ? "Sluice" : "Kafka"}: ${passed?.length} passed, ${failed?.length} failed, ${skipped?.length} skipped themselves`,
    );
    for (const name of failed ?? []) console.log(`failed: ${name}`);
    for (const name of missing) console.log(`listed in sarama.allow, did not pass: ${name}`);
    if (result.isTimedOut || output.includes("panic:")) console.log("it did not come to its end");
    console.log(`whole output: ${log}`);
    if (words.includes("--update")) allow("sarama", passed ?? []);
    return missing.length > 0 || (passed?.length ?? 0) === 0 ? 1 : 0;
  } finally {
    await proxy?.stop();
    await compose.stop(true);
    await cluster.stop("SIGKILL");
    directory.remove();
  }
}

try {
  process.exit(await main());
} catch (error) {
  if (!(error instanceof Unavailable)) throw error;
  console.log(`skipped: sarama: ${error.message}`);
  process.exit(0);
}
