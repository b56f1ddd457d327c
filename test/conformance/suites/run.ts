/**
 * Suites that others wrote, against a bootstrap address:
 *
 *   bun test/conformance/suites/run.ts HOST:PORT [--update] [--skip REGEX]
 *
 * Today: the integration tests of franz-go's `kgo` package, compiled from the Go module that the conformance programs use. The names of tests that must
 * pass are in kgo.allow; one of them failing ends this with 1, one that passes without being listed is mentioned (`--update` lists it). Tests of
 * transactions wait for ever on a broker without them, so they are left out unless `--skip` says otherwise.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, runCommand } from "../../support/process.ts";
import { CACHE, HERE, needTool } from "../support/toolchains.ts";

const PACKAGE = "github.com/twmb/franz-go/pkg/kgo";
const words = process.argv.slice(2);
const bootstrap = words.find((word) => /:\d+$/.test(word));
if (bootstrap === undefined) {
  console.error("give the broker's address: bun test/conformance/suites/run.ts 127.0.0.1:9092");
  process.exit(2);
}
const skipAt = words.indexOf("--skip");
const skip = skipAt < 0 ? "Txn" : (words[skipAt + 1] ?? "");
const go = needTool("go");
const cwd = join(HERE, "go");
const binary = join(CACHE, "suites/kgo.test");
await mustRun([go, "test", "-mod=readonly", "-c", "-o", binary, PACKAGE], {
  cwd,
  timeoutMs: 600_000,
});
const sources = (
  await mustRun([go, "list", "-mod=readonly", "-f", "{{.Dir}}", PACKAGE], { cwd })
).trim();
const result = await runCommand([binary, "-test.v", "-test.timeout", "540s", "-test.skip", skip], {
  cwd: sources,
  environment: { KGO_SEEDS: bootstrap, KGO_TEST_RF: "1", KGO_TEST_RECORDS: "10000" },
  timeoutMs: 560_000,
});
const output = result.output.toString();
const named = (verdict: string): string[] =>
  [...output.matchAll(new RegExp(`^--- ${verdict}: (\\S+)`, "gm"))]
    .map(([, name = ""]) => name)
    .toSorted();
const [passed, failed, skipped] = [named("PASS"), named("FAIL"), named("SKIP")];
const file = join(HERE, "suites/kgo.allow");
const wanted = readFileSync(file, "utf8")
  .split("\n")
  .filter((line) => line !== "");
const missing = wanted.filter((name) => !passed.includes(name) && !new RegExp(skip).test(name));
const fresh = passed.filter((name) => !wanted.includes(name));
console.log(
  `kgo against ${bootstrap}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped themselves`,
);
for (const name of failed) console.log(`failed: ${name}`);
for (const name of missing) console.log(`listed in kgo.allow, did not pass: ${name}`);
for (const name of fresh) console.log(`passes, not listed: ${name}`);
if (result.isTimedOut || output.includes("panic: test timed out"))
  console.log(output.slice(output.indexOf("panic:"), output.indexOf("panic:") + 400));
if (words.includes("--update"))
  writeFileSync(file, `${[...new Set([...wanted, ...passed])].toSorted().join("\n")}\n`);
process.exit(missing.length + failed.length > 0 || result.isTimedOut ? 1 : 0);
