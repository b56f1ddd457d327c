/**
 * Completion in the shells themselves: their own scripts, loaded by them, asking a broker. A shell that is not installed is skipped;
 * bash is everywhere.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { sluice } from "../support/run-sluice.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/start-broker.ts";

let cluster: ClusterUnderTest;
let directory: TemporaryDirectory;
let topic: string;
let hostile: string;

beforeAll(async () => {
  cluster = await clusterUnderTest();
  directory = await temporaryDirectory();
  topic = cluster.name("completed");
  // A group's id may hold anything; nothing of it may run.
  hostile = cluster.name("$(touch ran) 'x'");
  await sluice(["topic", "create", topic, ...cluster.at]);
  await sluice([
    "group",
    "reset-offsets",
    hostile,
    "--topic",
    topic,
    "--to-latest",
    "--execute",
    ...cluster.at,
  ]);
  for (const shell of ["bash", "zsh", "fish"]) {
    const { out } = await sluice(["completion", shell]);
    await Bun.write(`${directory.path}/sluice.${shell}`, out);
  }
});
afterAll(async () => {
  await sluice(["group", "delete", hostile, ...cluster.at]);
  await sluice(["topic", "delete", topic, ...cluster.at]);
  await cluster[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function run(shell: string, ...args: readonly string[]): Promise<readonly string[]> {
  const child = Bun.spawn([shell, ...args], {
    cwd: directory.path,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    timeout: 60_000,
    // A 'sluice' of this machine is not the one that is tested.
    env: { ...process.env, PATH: "/usr/bin:/bin", TERM: "dumb" },
  });
  const text = await new Response(child.stdout).text();
  return text.split("\n").filter((line) => line !== "");
}

/** Lines, and what is offered at the end of each. */
function cases(): (readonly [line: string, expected: readonly string[]])[] {
  const at = `--bootstrap=${cluster.bootstrapServers}`;
  return [
    ["sluice gro", ["group"]],
    ["sluice topic de", ["describe", "delete-records", "delete"]],
    [`sluice topic describe ${at} ${topic.slice(0, -3)}`, [topic]],
    [
      `sluice config set ${at} topic ${topic} min.c`,
      ["min.compaction.lag.ms=", "min.cleanable.dirty.ratio="],
    ],
    ["sluice produce x --compression zs", ["zstd"]],
    ["sluice log dump sluice.b", ["sluice.bash"]],
  ];
}

describe("completion", () => {
  test("bash", async () => {
    const script = `
      source ./sluice.bash
      compopt() { :; }
      COMP_LINE=$1 COMP_POINT=\${#1}
      _sluice_complete
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    for (const [line, expected] of cases()) {
      const offered = await run("bash", "-c", script, "bash", line);
      expect([line, offered.toSorted()]).toEqual([line, expected.toSorted()]);
    }
    // Bash replaces the piece after the colon or the equals sign alone.
    expect(await run("bash", "-c", script, "bash", "sluice produce x --compression=zs")).toEqual([
      "zstd",
    ]);
    const at = `-b ${cluster.bootstrapServers}`;
    const [quoted = ""] = await run(
      "bash",
      "-c",
      script.replace(
        "printf",
        `eval "words=(\${COMPREPLY[0]})"; printf '%s\\n' "\${words[0]}"; : printf`,
      ),
      "bash",
      `sluice group describe ${at} ${hostile.slice(0, 10)}`,
    );
    expect(quoted).toBe(hostile);
    expect(await Bun.file(`${directory.path}/ran`).exists()).toBe(false);
  });

  // Of the shells only bash is everywhere: the script of another can be tried only where that shell is installed.
  test.skipIf(Bun.which("fish") === null)("fish, where it is installed", async () => {
    for (const [line, expected] of cases()) {
      const offered = await run(
        "fish",
        "-N",
        "-c",
        "source ./sluice.fish; complete -C $argv[1]",
        line,
      );
      const words = offered.map((one) => one.split("\t")[0] ?? "");
      // Fish offers the end of a word that has an equals sign in it, whole or in part.
      expect([line, words.toSorted()]).toEqual([line, expected.toSorted()]);
    }
  });

  // As for fish.
  test.skipIf(Bun.which("zsh") === null)("zsh, where it is installed", async () => {
    // Its line editor needs a terminal; the function it calls does not.
    const script = `
      compdef() { : }
      source ./sluice.zsh
      compadd() { print -rl -- $values }
      _files() { print -rl -- $PREFIX*(N) }
      words=(\${(z)1})
      CURRENT=$#words PREFIX=$words[-1]
      _sluice`;
    for (const [line, expected] of cases()) {
      const offered = await run("zsh", "-f", "-c", script, "zsh", line);
      expect([line, offered.toSorted()]).toEqual([line, expected.toSorted()]);
    }
  });
});
