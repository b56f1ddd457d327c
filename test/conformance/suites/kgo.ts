/**
 * The integration tests of franz-go's `kgo` package, compiled from the Go module that the conformance programs use. The group tests run classic
 * and, where the broker advertises them, next-generation groups. Tests of transactions wait for ever on a broker without them.
 */
import { join } from "node:path";
import { mustRun, runCommand } from "../../support/process.ts";
import { CACHE, HERE, needTool } from "../support/toolchains.ts";
import type { Suite } from "./suite.ts";

const PACKAGE = "github.com/twmb/franz-go/pkg/kgo";

/** franz-go's own tests. */
export const kgo: Suite = {
  name: "kgo",
  skip: "Txn",
  run: async (bootstrap, skip) => {
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
    const result = await runCommand(
      [binary, "-test.v", "-test.timeout", "540s", "-test.skip", skip],
      {
        cwd: sources,
        environment: { KGO_SEEDS: bootstrap, KGO_TEST_RF: "1", KGO_TEST_RECORDS: "10000" },
        timeoutMs: 560_000,
      },
    );
    const output = result.output.toString();
    // Subtests are indented; group tests count one by one, so that classic and next-generation ones are told apart.
    const named = (verdict: string): string[] =>
      [...output.matchAll(new RegExp(`^ *--- ${verdict}: (\\S+)`, "gm"))]
        .map(([, name = ""]) => name)
        .filter((name) => !name.includes("/") || /^Test(Group|848|Txn)/.test(name))
        .toSorted();
    const panicAt = output.indexOf("panic:");
    return {
      passed: named("PASS"),
      failed: named("FAIL"),
      skipped: named("SKIP"),
      ...(result.isTimedOut || panicAt >= 0
        ? { trouble: panicAt < 0 ? "it took too long" : output.slice(panicAt, panicAt + 600) }
        : {}),
    };
  },
};
