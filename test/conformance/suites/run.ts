/**
 * Suites that others wrote, against a broker:
 *
 *   bun test/conformance/suites/run.ts [HOST:PORT] [--suite kgo|rskafka|kafka-python] [--update] [--skip REGEX]
 *
 * Without an address Sluice is started from this checkout on a temporary directory. The names of tests that must pass are in `<suite>.allow`; one of them not
 * passing ends this with 1, one that passes without being listed is mentioned (`--update` lists it). Against real Kafka, run first, the same lists say
 * what a suite can do at all. `--skip` replaces what a suite leaves out by itself.
 */
import { sluiceBroker, type BrokerProcess } from "../../support/broker-process.ts";
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

const directory = temporaryDirectory("suites");
let own: BrokerProcess | null = null;
let bootstrap = words.find((word) => /:\d+$/.test(word));
if (bootstrap === undefined) {
  // As kafka-python's own brokers are set up: its tests ask for broker 0, and for listeners given by hand.
  const port = await freePort();
  own = await sluiceBroker({
    directory: directory.path,
    port,
    overrides: { "node.id": "0", "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}` },
  });
  await own.start();
  bootstrap = own.bootstrap;
}
let isGood = true;
for (const suite of SUITES) {
  if (picked?.includes(suite.name) === false) continue;
  try {
    if (!(await judge(suite, bootstrap))) isGood = false;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`skipped: ${suite.name}: ${error.message}`);
  }
}
await own?.stop("SIGTERM");
directory.remove();
process.exit(isGood ? 0 : 1);
