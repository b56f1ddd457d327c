/**
 * Consumer groups by every real client, with the broker restarted in the middle:
 *
 *   bun test/conformance/groups.ts [--client NAME] [--protocol NAME] [--scenario NAME] [--restart none|clean|kill]
 *     [--reference HOST:PORT | --kafka] [--at-once N]
 *
 * Each case starts Sluice from this checkout on a directory of its own; `--kafka` starts real Kafka instead, `--reference` uses a broker that runs already,
 * which is never restarted. Options may be repeated as comma-separated lists. `SLUICE_KEEP=DIR` keeps the members' logs. Ends with 1 when
 * anything is wrong.
 */
import { GROUP_CLIENTS } from "./groups/clients.ts";
import { runCases, type Case, type Target } from "./groups/run.ts";
import { SCENARIOS, type Restart } from "./groups/scenarios.ts";
import { Unavailable } from "./support/toolchains.ts";

const words = process.argv.slice(2);
const given = (name: string): string | undefined => {
  const at = words.indexOf(`--${name}`);
  return at < 0 ? undefined : words[at + 1];
};
const isPicked = (name: string, value: string): boolean =>
  given(name)?.split(",").includes(value) ?? true;

const reference = given("reference");
const target: Target =
  reference !== undefined
    ? { kind: "given", bootstrap: reference }
    : { kind: words.includes("--kafka") ? "kafka" : "sluice" };
const restarts: readonly Restart[] = target.kind === "given" ? ["none"] : ["none", "clean", "kill"];
const cases: Case[] = [];
for (const client of GROUP_CLIENTS) {
  if (!isPicked("client", client.name)) continue;
  try {
    const command = await client.prepare();
    for (const protocol of client.protocols)
      for (const scenario of SCENARIOS)
        for (const restart of restarts)
          if (
            isPicked("protocol", protocol) &&
            isPicked("scenario", scenario.name) &&
            isPicked("restart", restart) &&
            scenario.protocols.includes(protocol) &&
            scenario.applies?.(client, protocol) !== false
          )
            cases.push({ client, command, protocol, scenario, restart });
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: ${client.name}: ${error.message}`);
  }
}
const verdicts = await runCases(
  cases,
  target,
  Number(given("at-once") ?? 2),
  ({ label, problem, skipped, seconds }) => {
    if (skipped !== null) {
      console.log(`skipped: ${label}: ${skipped}`);
      return;
    }
    console.log(
      `${problem === null ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(5)} s  ${label}`,
    );
    if (problem !== null) console.log(problem.replaceAll(/^/gm, "         "));
  },
);
const failed = verdicts.filter(({ problem }) => problem !== null).length;
const skipped = verdicts.filter((verdict) => verdict.skipped !== null).length;
console.log(`${verdicts.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 && verdicts.length > 0 ? 0 : 1);
