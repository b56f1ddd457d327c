/** Runs scenarios of clients, each on a broker of its own or on a given one. */
import { join } from "node:path";
import { kafkaBroker, sluiceBroker, type BrokerProcess } from "../../support/broker-process.ts";
import { temporaryDirectory } from "../../support/process.ts";
import { java } from "../support/toolchains.ts";
import type { GroupClient } from "./clients.ts";
import { Feeder } from "./feeder.ts";
import type { Protocol } from "./member.ts";
import { Connection } from "#client/connection.ts";
import { parseAddresses } from "#client/address.ts";
import { ConsumerGroupHeartbeatApi } from "#protocol/generated/consumer-group-heartbeat.ts";
import { Play, type Restart, type Scenario } from "./scenarios.ts";

/** Whose broker is tested. */
export type Target =
  | { readonly kind: "sluice" }
  | { readonly kind: "kafka" }
  | { readonly kind: "given"; readonly bootstrap: string };

/** One thing to run. */
export interface Case {
  readonly client: GroupClient;
  readonly command: readonly string[];
  readonly protocol: Protocol;
  readonly scenario: Scenario;
  readonly restart: Restart;
}

/** What became of it; `problem` is null when all held. */
export interface Verdict {
  readonly label: string;
  readonly problem: string | null;
  /** Why it did not run: the broker does not offer what it needs. */
  readonly skipped: string | null;
  readonly seconds: number;
}

/** `client protocol: scenario, restart`. */
export const labelOf = ({ client, protocol, scenario, restart }: Case): string =>
  `${client.name} ${protocol}: ${scenario.name}${restart === "none" ? "" : `, broker restarted (${restart})`}`;

/** The broker's settings in all scenarios: members may be declared dead soon, and next-generation ones hear often. */
const SETTINGS: Record<string, string> = {
  "group.min.session.timeout.ms": "1000",
  "group.consumer.min.session.timeout.ms": "1000",
  "group.consumer.min.heartbeat.interval.ms": "100",
  "group.consumer.heartbeat.interval.ms": "500",
  "group.consumer.session.timeout.ms": "30000",
  "offsets.topic.num.partitions": "5",
};

let serial = 0;

/** Whether the broker advertises next-generation groups. */
async function offersNext(bootstrap: string): Promise<boolean> {
  const [address] = parseAddresses(bootstrap) ?? [];
  if (address === undefined) return false;
  const connection = await Connection.open(address);
  const isOffered = connection.servedVersions.has(ConsumerGroupHeartbeatApi.key);
  connection.close();
  return isOffered;
}

/** Runs one case from a fresh broker to the checker's verdict. Never throws. */
export async function runCase(wanted: Case, target: Target): Promise<Verdict> {
  const started = performance.now();
  const label = labelOf(wanted);
  const directory = temporaryDirectory("groups");
  let broker: BrokerProcess | null = null;
  let feeder: Feeder | null = null;
  let play: Play | null = null;
  let problem: string | null = null;
  let skipped: string | null = null;
  try {
    const options = {
      directory: directory.path,
      overrides: { ...SETTINGS, ...wanted.scenario.overrides },
    };
    if (target.kind === "sluice") broker = await sluiceBroker(options);
    if (target.kind === "kafka") broker = await kafkaBroker((await java()).broker, options);
    await broker?.start();
    const bootstrap = target.kind === "given" ? target.bootstrap : (broker?.bootstrap ?? "");
    if (wanted.protocol === "consumer" && !(await offersNext(bootstrap))) {
      skipped = "the broker does not advertise ConsumerGroupHeartbeat";
      return { label, problem, skipped, seconds: 0 };
    }
    feeder = new Feeder(bootstrap);
    serial += 1;
    const name = `conform-${wanted.scenario.name.replaceAll(" ", "-")}-${wanted.client.name}-${Date.now().toString(36)}${serial}`;
    play = new Play({ ...wanted, bootstrap, broker, feeder, name });
    await wanted.scenario.run(play);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  } finally {
    await play?.end();
    if (process.env["SLUICE_KEEP"] !== undefined && play !== null)
      await Bun.write(
        join(process.env["SLUICE_KEEP"], `${label.replaceAll(/[^a-z0-9-]+/g, "-")}.jsonl`),
        play.groups
          .flatMap(({ members }) => members)
          .flatMap(({ name, events }) => events.map((event) => ({ member: name, ...event })))
          .toSorted((left, right) => left.at - right.at)
          .map((row) => `${JSON.stringify(row)}\n`)
          .join(""),
      );
    await feeder?.close();
    if (problem !== null && broker !== null) problem += `\nbroker: ${broker.log().slice(-400)}`;
    await broker?.stop("SIGKILL");
    directory.remove();
  }
  return { label, problem, skipped, seconds: (performance.now() - started) / 1000 };
}

/** Runs cases, `atOnce` at a time, and tells each verdict as it comes; verdicts are in the order of the cases. */
export async function runCases(
  cases: readonly Case[],
  target: Target,
  atOnce: number,
  tell: (verdict: Verdict) => void,
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const queue = cases.entries();
  const lane = async (): Promise<void> => {
    for (const [at, one] of queue) {
      const verdict = await runCase(one, target);
      verdicts[at] = verdict;
      tell(verdict);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return verdicts;
}
