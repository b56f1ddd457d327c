/**
 * Runs every suite in order and closes with one line, `N passed, N failed`. A suite is a command plus the way its count is read;
 * one that needs a tool this machine lacks says so and is not counted. Suites that take long have a quick form here and a full form
 * by hand (test/README.md).
 *
 *   bun test/run.ts [suite ...] [--list]
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
const isTerminal = process.stdout.isTTY;
const paint = (code: number, text: string): string =>
  isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text;

interface Suite {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly environment?: Record<string, string>;
  /** Tool without which the suite cannot run; its absence is printed. */
  readonly needs?: readonly string[];
  /** Reads counts from the output; a suite without one counts as a single check. */
  readonly counts?: "bun" | "cargo";
}

interface Count {
  passed: number;
  failed: number;
}

const suites: readonly Suite[] = [
  { name: "format", command: [bun, "fmt", "--no-script", "--check", "."] },
  {
    name: "types",
    command: [bun, join(root, "node_modules/typescript/bin/tsc"), "--noEmit", "-p", "."],
  },
  {
    name: "lint",
    command: [
      join(root, "node_modules/.bin/oxlint"),
      "--type-aware",
      "--deny-warnings",
      "src",
      "test",
      "bench",
      "build.ts",
    ],
  },
  {
    name: "rustfmt",
    command: ["cargo", "fmt", "--all", "--check"],
    cwd: "native",
    needs: ["cargo-fmt"],
  },
  {
    name: "clippy",
    command: [
      "cargo",
      "clippy",
      "--workspace",
      "--all-targets",
      "--locked",
      "--quiet",
      "--",
      "-D",
      "warnings",
    ],
    cwd: "native",
    needs: ["cargo-clippy"],
  },
  {
    name: "rust",
    command: ["cargo", "test", "--workspace", "--exclude", "sluice-binding", "--locked", "--quiet"],
    cwd: "native",
    counts: "cargo",
  },
  {
    name: "load generator",
    command: ["cargo", "test", "--locked", "--quiet"],
    cwd: "bench/load",
    counts: "cargo",
  },
  {
    name: "unit",
    command: [
      bun,
      "test",
      "--timeout",
      "60000",
      "./test/unit",
      "./test/golden",
      "./test/integration",
      "./test/fuzz",
      "./test/tidy.test.ts",
      "./test/regression",
    ],
    counts: "bun",
  },
  {
    name: "cluster",
    command: [bun, "test", "--timeout", "300000", "./test/cluster"],
    counts: "bun",
  },
  { name: "soak", command: [bun, "test", "--timeout", "120000", "./test/soak"], counts: "bun" },
  {
    name: "overload",
    command: [bun, "test", "--timeout", "120000", "./test/overload"],
    counts: "bun",
  },
  { name: "crash", command: [bun, "test", "--timeout", "600000", "./test/crash"], counts: "bun" },
  {
    name: "bit rot",
    command: [bun, "test", "--timeout", "300000", "./test/bit-rot"],
    counts: "bun",
  },
  {
    name: "disk",
    command: [bun, "test", "--timeout", "300000", "./test/disk-full", "./test/many-partitions"],
    counts: "bun",
  },
  {
    name: "simulation",
    command: [bun, "test", "--timeout", "120000", "./test/simulation"],
    counts: "bun",
  },
  { name: "seeds", command: [bun, "test/simulation/main.ts", "--seeds", "200", "--jobs", "2"] },
  { name: "power", command: [bun, "test", "--timeout", "600000", "./test/power"], counts: "bun" },
  {
    name: "differential",
    command: [bun, "test", "--timeout", "600000", "./test/differential"],
    counts: "bun",
  },
  {
    name: "conformance",
    command: [bun, "test", "--timeout", "900000", "./test/conformance"],
    environment: { SLUICE_CONFORMANCE: process.env["SLUICE_CONFORMANCE"] ?? "quick" },
    counts: "bun",
  },
];

/** Adds up what a test runner printed; `null` when it printed no count at all. */
function readCounts(kind: "bun" | "cargo", output: string): Count | null {
  const plain = Bun.stripANSI(output);
  const pattern = kind === "bun" ? /^\s*(\d+) (pass|fail)$/gm : /(\d+) (passed|failed)(?=;)/g;
  const count: Count = { passed: 0, failed: 0 };
  let isSeen = false;
  for (const match of plain.matchAll(pattern)) {
    isSeen = true;
    if (match[2]?.startsWith("pass") === true) count.passed += Number(match[1]);
    else count.failed += Number(match[1]);
  }
  return isSeen ? count : null;
}

/** Tests that a runner said to have failed: they are named once more at the very end, where they are looked for. */
const failures: string[] = [];

/** Lines of `bun test` and of cargo that name a failed test. */
function failedTests(output: string): string[] {
  const pattern = /^(?:\(fail\) (.*?)(?: \[[\d.]+ ?m?s\])?|---- (.*) stdout ----)$/gm;
  const named = [...Bun.stripANSI(output).matchAll(pattern)].map(
    (match) => match[1] ?? match[2] ?? "",
  );
  return [...new Set(named)];
}

/** Runs one suite, echoing its output as it comes, and returns what it adds to the total. */
async function runSuite(suite: Suite): Promise<Count> {
  const missing = (suite.needs ?? []).find((tool) => Bun.which(tool) === null);
  if (missing !== undefined) {
    console.log(paint(33, `skipped ${suite.name}: ${missing} is not installed here`));
    return { passed: 0, failed: 0 };
  }
  console.log(
    paint(
      36,
      `\n== ${suite.name}: ${suite.command.map((word) => word.replace(`${root}/`, "")).join(" ")}`,
    ),
  );
  const started = performance.now();
  const child = Bun.spawn([...suite.command], {
    cwd: join(root, suite.cwd ?? "."),
    env: { ...process.env, ...suite.environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const pieces: string[] = [];
  const echo = async (
    stream: ReadableStream<Uint8Array>,
    out: NodeJS.WriteStream,
  ): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      pieces.push(text);
      out.write(text);
    }
  };
  await Promise.all([echo(child.stdout, process.stdout), echo(child.stderr, process.stderr)]);
  const exitCode = await child.exited;
  const counted = suite.counts === undefined ? null : readCounts(suite.counts, pieces.join(""));
  const count: Count = counted ?? { passed: exitCode === 0 ? 1 : 0, failed: 0 };
  if (exitCode !== 0 && count.failed === 0) count.failed = 1;
  if (exitCode === 0 && suite.counts !== undefined && counted === null) count.failed = 1;
  failures.push(...failedTests(pieces.join("")).map((test) => `${suite.name}: ${test}`));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const verdict = count.failed === 0 ? paint(32, "ok") : paint(31, "FAILED");
  console.log(
    `${verdict} ${suite.name}: ${count.passed} passed, ${count.failed} failed in ${seconds} s`,
  );
  return count;
}

const words = process.argv.slice(2);
if (words.includes("--list")) {
  for (const suite of suites) console.log(suite.name);
  process.exit(0);
}
const unknown = words.filter((word) => !suites.some((suite) => suite.name === word));
if (unknown.length > 0) {
  console.error(
    `unknown suite ${unknown.join(", ")}; known: ${suites.map((suite) => suite.name).join(", ")}`,
  );
  process.exit(2);
}
const total: Count = { passed: 0, failed: 0 };
const failedSuites: string[] = [];
for (const suite of suites) {
  if (words.length > 0 && !words.includes(suite.name)) continue;
  const paths = suite.command.filter((word) => word.startsWith("./"));
  const present = paths.filter((path) => existsSync(join(root, path)));
  if (paths.length > 0 && present.length === 0) continue;
  const command = suite.command.filter((word) => !word.startsWith("./") || present.includes(word));
  const count = await runSuite({ ...suite, command });
  total.passed += count.passed;
  total.failed += count.failed;
  if (count.failed > 0) failedSuites.push(suite.name);
}
if (failedSuites.length > 0) {
  console.log(paint(31, `\nfailed: ${failedSuites.join(", ")}`));
  for (const failure of failures.slice(0, 10)) console.log(`  ${failure}`);
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
