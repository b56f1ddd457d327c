/**
 * One long-running group member: a client program started with `--member OPTIONS`, whose printed lines are its log (../README.md). Ending its
 * standard input asks it to leave; `kill` ends it as `kill -9` does. What it owns is followed as it prints it.
 */

/** How members of a group agree: a client's eager default, incremental cooperative, or KIP-848. */
export type Protocol = "classic" | "cooperative" | "consumer";

/** What a member program is told. */
export interface MemberOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** In place of `topics`: a regular expression, resolved by the server in the consumer protocol. */
  readonly pattern?: string;
  readonly instanceId?: string;
  readonly protocol: Protocol;
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
}

type Place = readonly [topic: string, partition: number];

/** A printed line; `at` is the member's clock in ms since 1970, the same clock for all of a machine. */
export type MemberEvent = { readonly at: number } & (
  | {
      readonly event: "assigned";
      readonly partitions: readonly Place[];
      /** Generation or member epoch; null where the client does not tell. */
      readonly generation: number | null;
      readonly memberId: string | null;
    }
  | { readonly event: "revoked" | "lost"; readonly partitions: readonly Place[] }
  | {
      readonly event: "read";
      readonly topic: string;
      readonly partition: number;
      readonly offsets: readonly number[];
      readonly generation: number | null;
    }
  /** Acknowledged by the coordinator; offsets are the next to read. */
  | {
      readonly event: "committed";
      readonly offsets: readonly (readonly [topic: string, partition: number, next: number])[];
    }
  | { readonly event: "failed"; readonly what: string; readonly error: string }
  | { readonly event: "left" }
);

/** What the checker needs of a member. */
export interface MemberHistory {
  readonly name: string;
  /** Who the coordinator takes it for: the same for a static member that came back as another process. */
  readonly identity: string;
  readonly events: readonly MemberEvent[];
  /** When its process was gone, and whether it was killed; null while it runs. */
  readonly end: { readonly at: number; readonly isKilled: boolean } | null;
}

/** The name of a partition in maps and messages. */
export const placeName = (topic: string, partition: number): string => `${topic}/${partition}`;

const LEAVE_TIMEOUT_MS = 45_000;

/** A running or ended member. */
export class Member implements MemberHistory {
  readonly name: string;
  readonly identity: string;
  readonly events: MemberEvent[] = [];
  readonly owned: Set<string> = new Set();
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #errors: Promise<string>;
  readonly #ended: Promise<void>;
  #end: { at: number; isKilled: boolean } | null = null;
  #isKilled = false;

  constructor(name: string, command: readonly string[], cwd: string, options: MemberOptions) {
    this.name = name;
    this.identity = options.instanceId ?? name;
    this.#child = Bun.spawn([...command, "--member", JSON.stringify(options)], {
      cwd,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#errors = new Response(this.#child.stderr).text();
    this.#ended = this.#read();
  }

  get end(): { readonly at: number; readonly isKilled: boolean } | null {
    return this.#end;
  }

  /** Asks it to leave and waits for its end; throws when it does not end by itself or ends with an error. */
  async leave(): Promise<void> {
    void this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LEAVE_TIMEOUT_MS);
    const exitCode = await this.#child.exited;
    clearTimeout(timer);
    await this.#ended;
    if (exitCode !== 0)
      throw new Error(
        `${this.name} ended with ${exitCode} when asked to leave: ${(await this.#errors).trim().slice(-600)}`,
      );
  }

  /** `kill -9`, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#isKilled = true;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Its last words, for messages. */
  async lastWords(): Promise<string> {
    const said = this.#end === null ? "" : (await this.#errors).trim().slice(-300);
    const failures = this.events.filter(({ event }) => event === "failed").slice(-3);
    return `${this.name} (${this.#end === null ? "runs" : "ended"}) owns [${[...this.owned].join(" ")}] ${failures.map((one) => JSON.stringify(one)).join(" ")} ${said}`;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    }
    await this.#child.exited;
    this.#end = { at: Date.now(), isKilled: this.#isKilled };
    this.owned.clear();
  }

  #take(line: string): void {
    if (!line.startsWith('{"')) return; // a library printed something of its own
    const event = JSON.parse(line) as MemberEvent;
    this.events.push(event);
    if (event.event === "assigned")
      for (const place of event.partitions) this.owned.add(placeName(...place));
    if (event.event === "revoked" || event.event === "lost")
      for (const place of event.partitions) this.owned.delete(placeName(...place));
  }
}
