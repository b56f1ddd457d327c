/**
 * Suites that others wrote, against a broker:
 *
 *   bun test/conformance/suites/run.ts [HOST:PORT] [--suite kgo|rskafka|kafka-python] [--update] [--skip REGEX]
 *
 * Without an address Sluice is started from this checkout for each suite, on a temporary directory. The names of tests that must pass are in `<suite>.allow`; one of them not
 * passing ends this with 1, one that passes without being listed is mentioned (`--update` lists it). Against real Kafka, run first, the same lists say
 * what a suite can do at all. `--skip` replaces what a suite leaves out by itself.
 */
import { sluiceBroker } from "../../support/broker-process.ts";
import { freePort, temporaryDirectory } from "../../support/process.ts";
import { Unavailable } from "../support/toolchains.ts";
import { kafkaPython } from "./kafka-python.ts";
import { kgo } from "./kgo.ts";
import { rskafka } from "./rskafka.ts";
import { allow, allowed, type Suite } from "./suite.ts";

const SUITES: readonly Suite[] = [kgo, rskafka, kafkaPython];

const words = process.argv.slice(2);
const after = (flag: string): string | undefined => {
  const at = words.indexOf(flag);
  return at < 0 ? undefined : words[at + 1];
};
const picked = after("--suite")?.split(",");
const unknown = picked?.find((name) => !SUITES.some((suite) => suite.name === name));
if (unknown !== undefined) {
  console.error(`unknown suite ${unknown}; known: ${SUITES.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

/** Runs one suite and prints what became of it; true when all listed tests passed and it came to its end. */
async function judge(suite: Suite, bootstrap: string): Promise<boolean> {
  const skip = after("--skip") ?? suite.skip ?? "";
  const { passed, failed, skipped, trouble } = await suite.run(bootstrap, skip);
  const isLeftOut = (name: string): boolean => skip !== "" && new RegExp(skip).test(name);
  const listed = allowed(suite.name);
  const missing = listed.filter((name) => !passed.includes(name) && !isLeftOut(name));
  console.log(
    `${suite.name} against ${bootstrap}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped themselves`,
  );
  for (const name of failed) console.log(`failed: ${name}`);
  for (const name of missing) console.log(`listed in ${suite.name}.allow, did not pass: ${name}`);
  for (const name of passed) if (!listed.includes(name)) console.log(`passes, not listed: ${name}`);
  if (trouble !== undefined) console.log(trouble);
  if (words.includes("--update")) allow(suite.name, passed);
  return missing.length === 0 && trouble === undefined;
}

/** Judges a suite on a broker of its own, set up as its authors' brokers are. */
async function judgeOnOwn(suite: Suite): Promise<boolean> {
  const directory = temporaryDirectory("suites");
  const port = await freePort();
  const own = await sluiceBroker({
    directory: directory.path,
    port,
    overrides: { "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`, ...suite.overrides },
  });
  try {
    await own.start();
    return await judge(suite, own.bootstrap);
  } finally {
    await own.stop("SIGTERM");
    directory.remove();
  }
}

const given = words.find((word) => /:\d+$/.test(word));
let isGood = true;
for (const suite of SUITES) {
  if (picked?.includes(suite.name) === false) continue;
  try {
    const isFine = given === undefined ? await judgeOnOwn(suite) : await judge(suite, given);
    if (!isFine) isGood = false;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: ${suite.name}: ${error.message}`);
  }
}
process.exit(isGood ? 0 : 1);
