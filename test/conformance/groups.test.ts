/**
 * The quick form of groups.ts: every client in every protocol it has goes through a third member's joining with the broker killed in its midst, and a
 * few cases more for what that leaves out. `SLUICE_BOOTSTRAP` and `SLUICE_CLIENTS` mean what they mean in the other conformance tests.
 */
import { describe, expect, test } from "bun:test";
import { GROUP_CLIENTS } from "./groups/clients.ts";
import { runCases, type Case } from "./groups/run.ts";
import { SCENARIOS, type Restart } from "./groups/scenarios.ts";
import { Unavailable } from "./support/toolchains.ts";

const AT_ONCE = 3;
/** What each client goes through in each of its protocols, then what single clients add. */
const EVERYONE: readonly (readonly [scenario: string, restart: Restart])[] = [["join", "kill"]];
const EXTRA: readonly (readonly [client: string, scenario: string, restart: Restart])[] = [
  ["confluent-kafka", "kill", "none"],
  ["confluent-kafka", "pattern", "clean"],
  ["confluent-kafka", "static", "kill"],
  ["franz-go", "migrate", "kill"],
  ["franz-go", "resume", "clean"],
  ["franz-go", "two groups", "none"],
  ["aiokafka", "static", "none"],
];

const given = process.env["SLUICE_BOOTSTRAP"];
const picked = process.env["SLUICE_CLIENTS"]?.split(",");
const cases: Case[] = [];
for (const client of GROUP_CLIENTS) {
  if (picked?.some((part) => client.name.includes(part)) === false) continue;
  try {
    const command = await client.prepare();
    const wanted = [
      ...EVERYONE,
      ...EXTRA.flatMap(([name, scenario, restart]) =>
        name === client.name ? [[scenario, restart] as const] : [],
      ),
    ];
    for (const [name, restart] of wanted)
      for (const protocol of client.protocols)
        for (const scenario of SCENARIOS)
          if (
            scenario.name === name &&
            scenario.protocols.includes(protocol) &&
            scenario.applies?.(client, protocol) !== false
          )
            cases.push({
              client,
              command,
              protocol,
              scenario,
              restart: given === undefined ? restart : "none",
            });
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: groups of ${client.name}: ${error.message}`);
  }
}
const started = performance.now();
const verdicts = await runCases(
  cases,
  given === undefined ? { kind: "sluice" } : { kind: "given", bootstrap: given },
  AT_ONCE,
  ({ label, problem, skipped }) => {
    if (problem !== null) console.log(`groups: ${label}: ${problem.slice(0, 1_500)}`);
    if (skipped !== null) console.log(`skipped: groups: ${label}: ${skipped}`);
  },
);
console.log(`groups took ${((performance.now() - started) / 1000).toFixed(0)} s`);

describe("groups", () => {
  for (const { label, problem, skipped } of verdicts) {
    test.skipIf(skipped !== null)(label, () => {
      expect(problem).toBeNull();
    });
  }
  test("at least the client that needs nothing but this checkout ran", () => {
    expect(picked !== undefined || verdicts.some(({ label }) => label.startsWith("kafkajs"))).toBe(
      true,
    );
  });
});
