/**
 * kcat 1.7.1 on librdkafka 2.0.2, an old client that many people have at hand. It is a command line, so it is driven from here: one
 * invocation per distinct set of headers, since headers are arguments; text only, since records arrive as delimited lines; no timestamps.
 */
import { mustRun } from "../../support/process.ts";
import { Unsupported, type Answer, type Client, type Command } from "../support/client.ts";
import type { FoundRecord, WantedRecord } from "../support/records.ts";

const RECORD_END = "\u001e";
const KEY_END = "\u001f";
const FORMAT = `%p %o %T %K %S\n%k%s%h${RECORD_END}\n`;

const plain = (text: string | null): string =>
  text === null ? "" : Buffer.from(text, "base64").toString();

/** Drives the kcat at `path` against a bootstrap address. */
export class KcatClient implements Client {
  readonly #path: string;
  readonly #bootstrap: string;

  constructor(path: string, bootstrap: string) {
    this.#path = path;
    this.#bootstrap = bootstrap;
  }

  async ask(command: Command): Promise<Answer> {
    switch (command.op) {
      case "describe": {
        const version = await mustRun([this.#path, "-V"]);
        return {
          client: "kcat",
          version: /Version (\S+)/.exec(version)?.[1] ?? "unknown",
          runtime: /librdkafka \S+/.exec(version)?.[0] ?? "unknown",
          codecs: ["none", "gzip", "snappy", "lz4", "zstd"],
          partitioner: null,
          limits: [
            "noTimestamp",
            "textOnly",
            "nullHeaderValue",
            "noDuplicateHeader",
            "noIdempotence",
          ],
        };
      }
      case "produce":
        return await this.#produce(command.topic, command.codec, command.records);
      case "consume": {
        const output = await this.#run(
          "-q",
          "-f",
          FORMAT,
          "-c",
          String(command.count),
          "-X",
          "auto.offset.reset=earliest",
          "-G",
          command.group,
          command.topic,
        );
        return { records: parseRecords(output) };
      }
      case "assign": {
        const output = await this.#run(
          "-C",
          "-q",
          "-e",
          "-o",
          "beginning",
          "-f",
          FORMAT,
          "-t",
          command.topic,
        );
        return { records: parseRecords(output) };
      }
      case "watermarks": {
        const find = async (partition: number, time: number): Promise<number> => {
          const said = await this.#run("-Q", "-t", `${command.topic}:${partition}:${time}`);
          return Number(/offset (-?\d+)/.exec(said.toString())?.[1]);
        };
        const partitions = [];
        for (const partition of command.partitions) {
          partitions.push({
            partition,
            low: await find(partition, -2),
            high: await find(partition, -1),
          });
        }
        return { partitions };
      }
      default:
        throw new Unsupported(`no operation ${command.op}`);
    }
  }

  async close(): Promise<void> {}

  async #run(...words: string[]): Promise<Buffer> {
    return Buffer.from(
      await mustRun([this.#path, "-b", this.#bootstrap, "-m", "20", ...words], {
        timeoutMs: 60_000,
      }),
    );
  }

  async #produce(topic: string, codec: string, records: readonly WantedRecord[]): Promise<Answer> {
    for (let at = 0; at < records.length;) {
      const shape = invocationOf(records[at]);
      let end = at;
      while (end < records.length && invocationOf(records[end]) === shape) end += 1;
      const batch = records.slice(at, end);
      const lines = batch.map(
        (one) => `${one.key === null ? "" : `${plain(one.key)}${KEY_END}`}${plain(one.value)}`,
      );
      const first = batch[0];
      if (first === undefined) break;
      await mustRun(
        [
          this.#path,
          "-P",
          "-b",
          this.#bootstrap,
          "-t",
          topic,
          "-z",
          codec,
          "-K",
          KEY_END,
          "-D",
          RECORD_END,
          "-X",
          "linger.ms=20",
          ...(first.partition === null ? [] : ["-p", String(first.partition)]),
          ...first.headers.flatMap(([name, value]) => ["-H", `${name}=${plain(value)}`]),
        ],
        { input: lines.join(RECORD_END) },
      );
      at = end;
    }
    return {};
  }
}

/** Records that one invocation can carry have this in common. */
const invocationOf = (record: WantedRecord | undefined): string =>
  record === undefined
    ? ""
    : JSON.stringify([record.partition, record.headers, record.key === null]);

function parseRecords(output: Buffer): FoundRecord[] {
  const records: FoundRecord[] = [];
  for (let at = 0; at < output.length;) {
    const lineEnd = output.indexOf("\n", at);
    if (lineEnd < 0) break;
    const [partition, offset, timestamp, keyLength, valueLength] = output
      .toString("utf8", at, lineEnd)
      .split(" ")
      .map(Number);
    if (partition === undefined || offset === undefined || timestamp === undefined) break;
    at = lineEnd + 1;
    const take = (length: number | undefined): string | null => {
      if (length === undefined || length < 0) return null;
      at += length;
      return output.toString("base64", at - length, at);
    };
    const [key, value] = [take(keyLength), take(valueLength)];
    const end = output.indexOf(`${RECORD_END}\n`, at);
    const headers = output
      .toString("utf8", at, end)
      .split(",")
      .filter((header) => header !== "");
    at = end + 2;
    records.push({
      partition,
      offset,
      timestamp,
      key,
      value,
      headers: headers.map((header) => {
        const [name = "", ...rest] = header.split("=");
        return [name, Buffer.from(rest.join("=")).toString("base64")];
      }),
    });
  }
  return records;
}
