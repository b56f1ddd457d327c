/** What a suite of others came to, and the lists of what must pass. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HERE } from "../support/toolchains.ts";

/** Names of tests by what became of them; `trouble` is set when the suite did not come to its end. */
export interface SuiteResult {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  readonly trouble?: string;
}

/** A suite: how to run it against a broker. Throws Unavailable where its tools are missing. */
export interface Suite {
  readonly name: string;
  /** Tests left out unless told otherwise, because they wait for ever for what the broker does not have. */
  readonly skip?: string;
  /** Settings of the broker that the suite's own set-up has, for the broker that is started for it. */
  readonly overrides?: Record<string, string>;
  run(bootstrap: string, skip: string): Promise<SuiteResult>;
}

const listFile = (name: string): string => join(HERE, `suites/${name}.allow`);

/** The names of the tests of a suite that must pass. */
export function allowed(name: string): string[] {
  const file = listFile(name);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

/** Adds names to the list of those that must pass. */
export function allow(name: string, passed: readonly string[]): void {
  const all = [...new Set([...allowed(name), ...passed])].toSorted();
  writeFileSync(listFile(name), `${all.join("\n")}\n`);
}
