/**
 * Kafka's own command-line tools as a client: kafka-topics creates, kafka-console-producer and -consumer carry text records with keys and
 * headers, the perf tests show that bulk traffic flows. Each is a fresh JVM, hence few invocations.
 */
import { runCommand } from "../../support/process.ts";
import { Unsupported, type Answer, type Client, type Command } from "../support/client.ts";
import type { FoundRecord, WantedRecord } from "../support/records.ts";
import type { JavaLibraries } from "../support/toolchains.ts";

const MAIN = {
  "kafka-topics": "org.apache.kafka.tools.TopicCommand",
  "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
  "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
  "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
  "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
  "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
  "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
  "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
} as const;

/** The JVM options that short-lived tools start fastest with; `log4j2.properties` keeps them quiet. */
export function javaCommand(
  libraries: JavaLibraries,
  folder: "broker" | "tools",
  level = "off",
): string[] {
  const log4j = new URL("log4j2.properties", import.meta.url).pathname;
  return [
    libraries.java,
    "-Xmx512M",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dfile.encoding=UTF-8",
    `-Dlog4j2.configurationFile=${log4j}`,
    `-Dconformance.level=${level}`,
    "-cp",
    `${libraries[folder]}/*`,
  ];
}

/** What a tool printed on its two outputs. */
export interface ToolOutput {
  readonly output: string;
  readonly errors: string;
}

/** Runs one of Kafka's tools; one that fails throws. */
export async function runTool(
  libraries: JavaLibraries,
  tool: keyof typeof MAIN,
  words: readonly string[],
  input?: string,
): Promise<ToolOutput> {
  const command = [...javaCommand(libraries, "tools"), MAIN[tool], ...words];
  const result = await runCommand(command, {
    timeoutMs: 120_000,
    ...(input === undefined ? {} : { input }),
  });
  const [output, { errors }] = [result.output.toString(), result];
  if (result.exitCode !== 0)
    throw new Error(
      `${tool} ended with ${result.exitCode}: ${`${output}\n${errors}`.trim().slice(-1_500)}`,
    );
  return { output, errors };
}

const plain = (text: string | null): string =>
  text === null ? "NULL" : Buffer.from(text, "base64").toString();
const SEPARATORS = { headers: "\u0001", header: "\u0002", pair: "\u0003", key: "\u0004" };

/** Answers with the console tools. */
export class ConsoleClient implements Client {
  readonly #libraries: JavaLibraries;
  readonly #bootstrap: string;

  constructor(libraries: JavaLibraries, bootstrap: string) {
    this.#libraries = libraries;
    this.#bootstrap = bootstrap;
  }

  async ask(command: Command): Promise<Answer> {
    switch (command.op) {
      case "describe":
        return {
          client: "java console tools",
          version: "4.3.1",
          runtime: "java",
          partitioner: "murmur2",
          codecs: ["none", "gzip", "snappy", "lz4", "zstd"],
          limits: [
            "noTimestamp",
            "textOnly",
            "nullHeaderValue",
            "noDuplicateHeader",
            "commitsPositions",
          ],
        };
      case "create":
        await this.#tool("kafka-topics", [
          "--create",
          "--topic",
          command.topic,
          "--partitions",
          String(command.partitions),
        ]);
        return {};
      case "remove":
        await this.#tool("kafka-topics", ["--delete", "--topic", command.topic]);
        return {};
      case "produce":
        return await this.#produce(
          command.topic,
          command.codec,
          command.records,
          command.idempotent ?? false,
        );
      case "consume":
        return await this.#consume(command.topic, command.count, ["--group", command.group]);
      case "assign":
        return await this.#consume(command.topic, command.count, []);
      case "watermarks": {
        const read = async (time: string): Promise<Map<number, number>> =>
          new Map(
            (await this.#tool("kafka-get-offsets", ["--topic", command.topic, "--time", time]))
              .trim()
              .split("\n")
              .map((line) => line.split(":").slice(-2).map(Number))
              .map(([partition = -1, offset = -1]) => [partition, offset]),
          );
        const [low, high] = [await read("earliest"), await read("latest")];
        return {
          partitions: command.partitions.map((partition) => ({
            partition,
            low: low.get(partition) ?? -1,
            high: high.get(partition) ?? -1,
          })),
        };
      }
      default:
        throw new Unsupported(`no operation ${command.op}`);
    }
  }

  async close(): Promise<void> {}

  /** Both perf tests over `count` records; resolves with the summary lines of the two tools. */
  async perf(
    topic: string,
    count: number,
  ): Promise<{ readonly producer: string; readonly consumer: string }> {
    const { output: producer } = await runTool(this.#libraries, "kafka-producer-perf-test", [
      "--topic",
      topic,
      "--num-records",
      String(count),
      "--record-size",
      "100",
      "--throughput",
      "-1",
      "--producer-props",
      `bootstrap.servers=${this.#bootstrap}`,
    ]);
    const consumer = await this.#tool("kafka-consumer-perf-test", [
      "--topic",
      topic,
      "--messages",
      String(count),
      "--timeout",
      "30000",
    ]);
    return { producer: producer.trim(), consumer: consumer.trim() };
  }

  async #tool(tool: keyof typeof MAIN, words: readonly string[], input?: string): Promise<string> {
    return (
      await runTool(this.#libraries, tool, ["--bootstrap-server", this.#bootstrap, ...words], input)
    ).output;
  }

  async #produce(
    topic: string,
    codec: string,
    records: readonly WantedRecord[],
    isIdempotent: boolean,
  ): Promise<Answer> {
    // The tool cannot choose a partition; such records go where their key says.
    const lines = records.map((record) => {
      const headers = record.headers
        .map(([name, value]) => `${name}${SEPARATORS.pair}${plain(value)}`)
        .join(SEPARATORS.header);
      return `${headers === "" ? "NULL" : headers}${SEPARATORS.headers}${plain(record.key)}${SEPARATORS.key}${plain(record.value)}`;
    });
    const properties = {
      "parse.key": "true",
      "parse.headers": "true",
      "null.marker": "NULL",
      "key.separator": SEPARATORS.key,
      "headers.delimiter": SEPARATORS.headers,
      "headers.separator": SEPARATORS.header,
      "headers.key.separator": SEPARATORS.pair,
    };
    await this.#tool(
      "kafka-console-producer",
      [
        "--topic",
        topic,
        "--compression-codec",
        codec,
        "--producer-property",
        `enable.idempotence=${isIdempotent}`,
        ...Object.entries(properties).flatMap(([name, value]) => [
          "--property",
          `${name}=${value}`,
        ]),
      ],
      `${lines.join("\n")}\n`,
    );
    return {};
  }

  async #consume(topic: string, count: number, group: readonly string[]): Promise<Answer> {
    const properties = {
      "print.timestamp": "true",
      "print.partition": "true",
      "print.offset": "true",
      "print.headers": "true",
      "print.key": "true",
      "null.literal": "NULL",
      "key.separator": SEPARATORS.key,
      "headers.separator": SEPARATORS.header,
      "line.separator": "\u0005\n",
    };
    const output = await this.#tool("kafka-console-consumer", [
      "--topic",
      topic,
      "--from-beginning",
      "--max-messages",
      String(count),
      "--timeout-ms",
      "30000",
      ...group,
      ...Object.entries(properties).flatMap(([name, value]) => ["--property", `${name}=${value}`]),
    ]);
    return {
      records: output
        .split("\u0005\n")
        .filter((line) => line.trim() !== "")
        .map(parseLine),
    };
  }
}

const encode = (text: string): string | null =>
  text === "NULL" ? null : Buffer.from(text).toString("base64");

/** `CreateTime:1 ␄ Partition:0 ␄ Offset:0 ␄ name:value ␂ … ␄ key ␄ value`, where ␄ is the key separator. */
function parseLine(line: string): FoundRecord {
  const [time = "", partition = "", offset = "", headers = "", key = "", value = ""] = line.split(
    SEPARATORS.key,
  );
  const number = (text: string): number => Number(text.slice(text.indexOf(":") + 1));
  return {
    timestamp: number(time),
    partition: number(partition),
    offset: number(offset),
    key: encode(key),
    value: encode(value),
    headers:
      headers === "NO_HEADERS"
        ? []
        : headers.split(SEPARATORS.header).map((header) => {
            const at = header.indexOf(":");
            return [header.slice(0, at), encode(header.slice(at + 1))];
          }),
  };
}
