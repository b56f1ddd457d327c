/**
 * The scenarios in small: what must hold however slow the machine is. Times are judged by `main.ts` alone, by hand.
 */
import { expect, test } from "bun:test";
import { type Scale, SCENARIOS } from "./scenarios.ts";

const SLUICE = { kafkaLibraries: null };
const SMALL: Scale = { share: 0.05, beforeMs: 300, duringMs: 1500 };
/** Held by time, which a test may not judge. */
const TIMED = new Set(["longest stall", "processors kept busy"]);

async function failures(name: string): Promise<string[]> {
  const outcome = await SCENARIOS[name]?.(SLUICE, SMALL);
  if (outcome === undefined) return [`no scenario ${name}`];
  const failed = outcome.checks
    .filter(({ what, holds }) => !holds && !TIMED.has(what))
    .map(({ what, saw, limit }) => `${what}: ${saw} (${limit})`);
  return outcome.during.rounds > 0 ? failed : [...failed, "the healthy client got no answer"];
}

for (const name of ["fill", "drip", "stall", "bomb", "descriptors", "pipeline", "honest"]) {
  test.concurrent(
    `${name}: the bounds hold and the healthy client is answered`,
    async () => {
      expect(await failures(name)).toEqual([]);
    },
    60_000,
  );
}
