/**
 * `sluice local-cluster` at work: writes a `server.properties` for each node, starts the nodes as processes of their own, tells when each
 * serves, and stops them together. A node that ends by itself, or is killed, is told of with the command that starts it again; the
 * others go on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import type { CommandIo } from "../command-io.ts";
import { CommandError, UsageError } from "../failure.ts";
import { styleOf } from "../output.ts";

/** Options as commander gives them. */
export interface LocalClusterOptions {
  readonly nodes: string;
  readonly port: string;
  readonly data: string;
  readonly override?: readonly string[];
}

interface LocalNode {
  readonly id: number;
  readonly port: number;
  readonly properties: string;
  readonly log: string;
  process: ChildProcess | null;
  isStopping: boolean;
}

const HOST = "127.0.0.1";
const NODES_MAX = 15;
const READY_TIMEOUT_MS = 60_000;
const LOOK_MS = 100;
const READY = "Sluice serves Kafka clients";

/** Runs `sluice local-cluster`; settles when all nodes have ended. */
export async function runLocalCluster(options: LocalClusterOptions, io: CommandIo): Promise<void> {
  const count = wholeNumber("--nodes", options.nodes, 1, NODES_MAX);
  const firstPort = wholeNumber("--port", options.port, 1, 65_535 - 2 * count);
  const interruption = io.interruption();
  const style = styleOf(io.stdout);
  const say = (text: string): void => void io.stdout.write(`${text}\n`).catch(() => {});
  const nodes = prepare(resolve(options.data), count, firstPort, options.override ?? []);
  await requireFree(nodes);
  for (const node of nodes) launch(node, say, style);
  const stop = (): void => {
    for (const node of nodes) {
      node.isStopping = true;
      node.process?.kill("SIGTERM");
    }
  };
  const ended = Promise.all(nodes.map(endOf));
  interruption.addEventListener("abort", () => {
    say(style.dim("stopping all nodes"));
    stop();
  });
  try {
    await Promise.all(nodes.map((node) => ready(node, say, style, interruption)));
  } catch (error) {
    stop();
    await ended;
    throw error;
  }
  if (!interruption.aborted) {
    const bootstrap = nodes.map(({ port }) => `${HOST}:${port}`).join(",");
    say(`\n${style.bold("The cluster is ready.")} In another terminal:`);
    say(`  sluice cluster status -b ${bootstrap}`);
    say(`  sluice topic create orders --replication-factor ${Math.min(3, count)} -b ${bootstrap}`);
    say(style.dim("Ctrl-C stops all nodes; their data stays."));
  }
  await ended;
}

/** Writes the configuration of each node. */
function prepare(
  directory: string,
  count: number,
  firstPort: number,
  overrides: readonly string[],
): LocalNode[] {
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const portOf = (id: number): number => firstPort + 2 * (id - 1);
  const voters = ids.map((id) => `${id}@${HOST}:${portOf(id) + 1}`).join(",");
  const replicas = String(Math.min(3, count));
  return ids.map((id) => {
    const home = join(directory, `node-${id}`);
    mkdirSync(home, { recursive: true });
    const properties = join(home, "server.properties");
    const port = portOf(id);
    const lines = [
      "process.roles=broker,controller",
      `node.id=${id}`,
      `controller.quorum.voters=${voters}`,
      `listeners=PLAINTEXT://${HOST}:${port},CONTROLLER://${HOST}:${port + 1}`,
      `advertised.listeners=PLAINTEXT://${HOST}:${port}`,
      "controller.listener.names=CONTROLLER",
      `log.dirs=${join(home, "data")}`,
      `default.replication.factor=${replicas}`,
      `min.insync.replicas=${count >= 3 ? 2 : 1}`,
      `offsets.topic.replication.factor=${replicas}`,
      "sluice.admin.listener=",
      ...overrides,
    ];
    writeFileSync(properties, `${lines.join("\n")}\n`);
    return {
      id,
      port,
      properties,
      log: join(home, "broker.log"),
      process: null,
      isStopping: false,
    };
  });
}

/** @throws CommandError when something else has one of the ports. */
async function requireFree(nodes: readonly LocalNode[]): Promise<void> {
  for (const { port } of nodes) {
    for (const each of [port, port + 1]) {
      if (!(await isOpen(each))) continue;
      throw new CommandError(`port ${each} is taken`, [
        "Another port for the first broker: --port PORT",
      ]);
    }
  }
}

function launch(
  node: LocalNode,
  say: (text: string) => void,
  style: ReturnType<typeof styleOf>,
): void {
  const out = openSync(node.log, "w");
  const [program = ""] = process.argv.slice(1);
  const child = spawn(process.execPath, [program, "start", node.properties], {
    // A Ctrl-C reaches this process alone, which then stops them in order.
    detached: true,
    stdio: ["ignore", out, out],
  });
  closeSync(out);
  node.process = child;
  say(`${style.cyan(`node ${node.id}`)}  starting, process ${child.pid ?? "?"}, log ${node.log}`);
  child.once("exit", (code, signal) => {
    node.process = null;
    if (node.isStopping) say(`${style.cyan(`node ${node.id}`)}  stopped`);
    else {
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
      say(`${style.cyan(`node ${node.id}`)}  ${style.red(`ended ${how}`)}; start it again with`);
      say(`  sluice start ${node.properties}`);
    }
  });
}

function endOf(node: LocalNode): Promise<void> {
  const { process: child } = node;
  if (child === null) return Promise.resolve();
  return new Promise((done) => {
    child.once("exit", () => done());
  });
}

/** Waits until a node serves. @throws CommandError with the end of its log when it does not. */
async function ready(
  node: LocalNode,
  say: (text: string) => void,
  style: ReturnType<typeof styleOf>,
  interruption: AbortSignal,
): Promise<void> {
  const startedMs = performance.now();
  while (!interruption.aborted) {
    const log = readFileSync(node.log, "utf8");
    const elapsedMs = performance.now() - startedMs;
    if (log.includes(READY)) {
      const where = `${HOST}:${node.port}`;
      say(
        `${style.cyan(`node ${node.id}`)}  ${style.green("serves")} ${where} after ${Math.round(elapsedMs)} ms`,
      );
      return;
    }
    if (node.process === null || elapsedMs > READY_TIMEOUT_MS) {
      throw new CommandError(`node ${node.id} does not start`, log.trimEnd().split("\n").slice(-5));
    }
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: HOST, port });
    const finish = (isThere: boolean): void => {
      socket.destroy();
      done(isThere);
    };
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${option} wants a whole number from ${min} to ${max}, not '${text}'`);
}
