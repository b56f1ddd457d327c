/**
 * rskafka's integration tests, from the published crate that the conformance program uses. Its lock file names an rsasl that newer compilers refuse
 * (rust-lang/rust issue 141402) and its toolchain file a compiler that need not be here: the copy that is built takes the rsasl after it and leaves that
 * file out. Nothing else is changed.
 */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { mustRun, runCommand } from "../../support/process.ts";
import { CACHE, HERE, needTool } from "../support/toolchains.ts";
import type { Suite } from "./suite.ts";

const RSASL = "2.3.1";
const BINARIES = ["client", "consumer", "produce_consume", "producer"] as const;

interface Metadata {
  readonly packages: readonly { readonly name: string; readonly manifest_path: string }[];
}

/** Copies the crate beside the other suites, once; resolves with its folder. */
async function prepare(cargo: string): Promise<string> {
  const place = join(CACHE, "suites/rskafka");
  if (existsSync(join(place, "Cargo.lock"))) return place;
  const metadata = JSON.parse(
    await mustRun([cargo, "metadata", "--format-version", "1", "--locked"], {
      cwd: join(HERE, "rskafka"),
      timeoutMs: 300_000,
    }),
  ) as Metadata;
  const manifest = metadata.packages.find(({ name }) => name === "rskafka")?.manifest_path;
  if (manifest === undefined) throw new Error("the conformance program does not use rskafka");
  const fresh = `${place}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(dirname(place), { recursive: true });
  cpSync(dirname(manifest), fresh, { recursive: true });
  rmSync(join(fresh, "rust-toolchain.toml"), { force: true });
  await mustRun([cargo, "update", "-p", "rsasl", "--precise", RSASL], {
    cwd: fresh,
    timeoutMs: 300_000,
  });
  await mustRun(["mv", fresh, place]);
  return place;
}

/** rskafka's own tests. */
export const rskafka: Suite = {
  name: "rskafka",
  overrides: { "auto.create.topics.enable": "false" },
  run: async (bootstrap) => {
    const cargo = needTool("cargo");
    const cwd = await prepare(cargo);
    const environment = {
      CARGO_TARGET_DIR: join(CACHE, "suites/rskafka-target"),
      TEST_INTEGRATION: "1",
      TEST_BROKER_IMPL: "kafka",
      KAFKA_CONNECT: bootstrap,
    };
    const tests = BINARIES.flatMap((name) => ["--test", name]);
    await mustRun([cargo, "test", "--locked", "--quiet", "--no-run", ...tests], {
      cwd,
      environment,
      timeoutMs: 1_800_000,
    });
    const result = await runCommand(
      [cargo, "test", "--locked", "--no-fail-fast", ...tests, "--", "--test-threads=4"],
      { cwd, environment, timeoutMs: 600_000 },
    );
    // Cargo names the binary on standard error, tests print on standard output: both in one order only per binary.
    const binaries = [...result.errors.matchAll(/Running tests\/(\w+)\.rs/g)].map(
      ([, name = ""]) => name,
    );
    const passed: string[] = [];
    const failed: string[] = [];
    const skipped: string[] = [];
    const parts = result.output
      .toString()
      .split(/^running \d+ tests?$/m)
      .slice(1);
    for (const [at, part] of parts.entries()) {
      for (const [, name = "", verdict = ""] of part.matchAll(
        /^test (\S+)(?: - should panic)? \.\.\. (?:.*?)(ok|FAILED|ignored)/gm,
      )) {
        const full = `${binaries[at] ?? "unknown"}::${name}`;
        (verdict === "ok" ? passed : verdict === "FAILED" ? failed : skipped).push(full);
      }
    }
    return {
      passed: passed.toSorted(),
      failed: failed.toSorted(),
      skipped: skipped.toSorted(),
      ...(result.isTimedOut || parts.length !== BINARIES.length
        ? { trouble: `it did not come to its end: ${result.errors.slice(-600)}` }
        : {}),
    };
  },
};
