/**
 * A client under test: something that answers the commands of ../README.md. Most are programs in the client's own language behind a pipe
 * ({@link ProgramClient}); command-line tools are driven from here and answer through the same interface.
 */
import type { FoundRecord, Limit, WantedRecord } from "./records.ts";

/** What a client says of itself. */
export interface Description {
  readonly client: string;
  readonly version: string;
  readonly runtime: string;
  readonly codecs: readonly string[];
  /** "murmur2" where keys are placed as Java places them; otherwise only that a key stays is checked. */
  readonly partitioner: string | null;
  readonly limits: readonly Limit[];
}

/** Operation names and their arguments; every operation but `describe` names a topic. */
export type Command =
  | { readonly op: "describe" }
  | {
      readonly op: "create";
      readonly topic: string;
      readonly partitions: number;
      readonly configs?: Record<string, string>;
    }
  | { readonly op: "remove"; readonly topic: string }
  | {
      readonly op: "produce";
      readonly topic: string;
      readonly codec: string;
      readonly idempotent?: boolean;
      readonly records: readonly WantedRecord[];
    }
  | {
      readonly op: "consume";
      readonly topic: string;
      readonly group: string;
      readonly count: number;
      readonly commit?: boolean;
    }
  | {
      readonly op: "assign";
      readonly topic: string;
      readonly partitions: readonly number[];
      readonly count: number;
    }
  | {
      readonly op: "committed";
      readonly topic: string;
      readonly group: string;
      readonly partitions: readonly number[];
    }
  | { readonly op: "watermarks"; readonly topic: string; readonly partitions: readonly number[] }
  | {
      readonly op: "offsetsForTimes";
      readonly topic: string;
      readonly partitions: readonly number[];
      readonly timestamp: number;
    };

/** The union of what operations answer; each fills its own fields. */
export interface Answer extends Partial<Description> {
  readonly records?: readonly FoundRecord[];
  /** Partition and offset of each produced record, where the client tells. */
  readonly placed?: readonly (readonly [number, number] | null)[];
  readonly offsets?: Record<string, number>;
  /** The client answers the end offset where no record is late enough. */
  readonly endInsteadOfNone?: boolean;
  readonly partitions?: readonly {
    readonly partition: number;
    readonly low: number;
    readonly high: number;
  }[];
}

/** The client has no such operation: not a failure. */
export class Unsupported extends Error {}

/** One running client. */
export interface Client {
  ask(command: Command): Promise<Answer>;
  close(): Promise<void>;
}

const ANSWER_TIMEOUT_MS = 60_000;

/** A client program behind standard input and output, one JSON line each way. */
export class ProgramClient implements Client {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #waiting: { id: number; settle: (answer: Answer | Error) => void }[] = [];
  readonly #errors: Promise<string>;
  #nextId = 1;

  constructor(command: readonly string[], cwd: string) {
    this.#child = Bun.spawn([...command], { cwd, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    this.#errors = new Response(this.#child.stderr).text();
    void this.#read();
  }

  async ask(command: Command): Promise<Answer> {
    const id = this.#nextId;
    this.#nextId += 1;
    const answered = new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new Error(`${command.op}: no answer within ${ANSWER_TIMEOUT_MS} ms`));
      }, ANSWER_TIMEOUT_MS);
      const settle = (answer: Answer | Error): void => {
        clearTimeout(timer);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      this.#waiting.push({ id, settle });
    });
    void this.#child.stdin.write(`${JSON.stringify({ id, ...command })}\n`);
    void this.#child.stdin.flush();
    return await answered;
  }

  async close(): Promise<void> {
    void this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await this.#child.exited;
    clearTimeout(timer);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let pieces: string[] = [];
    for await (const chunk of this.#child.stdout) {
      const lines = decoder.decode(chunk, { stream: true }).split("\n");
      pieces.push(lines[0] ?? "");
      for (const next of lines.slice(1)) {
        this.#settle(pieces.join(""));
        pieces = [next];
      }
    }
    const exitCode = await this.#child.exited;
    const said = (await this.#errors).trim().slice(-1_000);
    for (const { settle } of this.#waiting.splice(0))
      settle(new Error(`the program ended with ${exitCode}: ${said}`));
  }

  #settle(line: string): void {
    let answer: { id?: number; ok?: boolean; error?: string; unsupported?: string };
    try {
      answer = JSON.parse(line);
    } catch {
      return; // a library printed something of its own
    }
    const at = this.#waiting.findIndex(({ id }) => id === answer.id);
    const [waiting] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (waiting === undefined) return;
    if (answer.ok === true) waiting.settle(answer as Answer);
    else if (answer.unsupported !== undefined) waiting.settle(new Unsupported(answer.unsupported));
    else waiting.settle(new Error(answer.error ?? line.slice(0, 500)));
  }
}
