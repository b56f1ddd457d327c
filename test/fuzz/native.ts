/**
 * The native parsers under libFuzzer, target by target: `native/fuzz` built with coverage on the stable compiler, so that nothing but
 * the crates has to be installed.
 *
 * ```
 * bun test/fuzz/native.ts [--seconds 60] [--target NAME] [--seed 1]
 * ```
 * The corpus grows in `native/fuzz/corpus/` (not tracked). A finding is written to `native/fuzz/artifacts/` and ends the run with
 * status 1; `cargo run --bin NAME FILE` with the same flags replays it, and it becomes a test.
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string" },
    seed: { type: "string", default: "1" },
  },
});
const fuzz = join(import.meta.dir, "../../native/fuzz");
const flags = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
  "--cfg=fuzzing",
  "-Cdebug-assertions",
  "-Coverflow-checks",
  "-Ccodegen-units=1",
];
const target = join(process.env["CARGO_TARGET_DIR"] ?? join(fuzz, "target"), "libfuzzer");
const triple = (await Bun.$`rustc -vV`.text()).match(/host: (.*)/)?.[1] ?? "";
const names = readdirSync(join(fuzz, "fuzz_targets")).map((file) => file.replace(/\.rs$/, ""));

const build = Bun.spawn(
  // A target triple keeps the flags away from build scripts, which have no fuzzer to report to.
  ["cargo", "build", "--release", "--locked", "--target", triple, "--target-dir", target],
  { cwd: fuzz, env: { ...process.env, RUSTFLAGS: flags.join(" ") }, stdout: "ignore" },
);
if ((await build.exited) !== 0) process.exit(1);

let isFound = false;
for (const name of names) {
  if (values.target !== undefined && values.target !== name) continue;
  const corpus = join(fuzz, "corpus", name);
  const artifacts = join(fuzz, "artifacts", name);
  for (const directory of [corpus, artifacts]) mkdirSync(directory, { recursive: true });
  const binary = join(target, triple, "release", name);
  if (!existsSync(binary)) throw new Error(`${name} was not built`);
  const run = Bun.spawn(
    [
      binary,
      `-max_total_time=${values.seconds}`,
      `-seed=${values.seed}`,
      "-max_len=65536",
      "-timeout=5",
      "-rss_limit_mb=1024",
      "-print_final_stats=1",
      `-artifact_prefix=${artifacts}/`,
      corpus,
    ],
    { stdout: "ignore", stderr: "pipe" },
  );
  const said = await new Response(run.stderr).text();
  const status = await run.exited;
  const figure = (label: string): string =>
    new RegExp(`${label}:\\s+(\\d+)`).exec(said)?.[1] ?? "?";
  const coverage = [...said.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? "?";
  console.log(
    `${name}: ${figure("stat::number_of_executed_units")} runs, ${coverage} edges, ${figure("stat::peak_rss_mb")} MiB at most, ${status === 0 ? "nothing found" : "FOUND"}`,
  );
  if (status !== 0) {
    isFound = true;
    console.log(said.split("\n").slice(-40).join("\n"));
  }
}
process.exit(isFound ? 1 : 0);
