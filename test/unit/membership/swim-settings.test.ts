import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suspicionMs } from "#membership/swim-settings.ts";

/** Where the addon says what its profiles are: the broker cannot ask it, so the two places must be kept the same. */
const PROFILES = join(import.meta.dirname, "../../../native/crates/swim/src/config.rs");

test("a suspicion lasts as long as in the addon's profiles", () => {
  const source = readFileSync(PROFILES, "utf8");
  const names = /let \((\w+), (\w+), (\w+), (\w+)\) = match profile/.exec(source)?.slice(1) ?? [];
  const at = names.indexOf("suspicion");
  expect(at).toBeGreaterThanOrEqual(0);
  const profiles = [...source.matchAll(/Profile::(\w+) => \(([\d, ]+)\)/g)].map(
    ([, name = "", numbers = ""]) => [name.toLowerCase(), Number(numbers.split(",")[at])] as const,
  );
  expect(Object.fromEntries(profiles)).toEqual({ ...suspicionMs });
});
