/**
 * Where the time of a rebalance goes: `bun bench/groups/trace.ts [classic|consumer] [--systems self,kafka] [--rounds 20] [--heartbeat-ms 10]
 * [--durability page-cache|default]`.
 *
 * The members are those of the benchmark; every request of theirs is timed. Of each rebalance, three parts that add up:
 *
 * - *told*: from its start until the last of the members that were there has asked for its new share. They hear of the rebalance
 *   with their next heartbeat, so this is the client's interval and one round trip.
 * - *asleep*: from there on, what the member that settled last spent between its requests: intervals of its heartbeats, and this process's own work.
 * - *asked*: from there on, what it spent waiting for answers. The broker's part, and that of the wire.
 *
 * CPU of the broker and of this process stand beside it, from the kernel's count in nanoseconds. Medians over the rounds.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Wire } from "../../test/differential/wire.ts";
import { spreadOf } from "../statistics.ts";
import { systems } from "../systems/index.ts";
import { freePort } from "../systems/system.ts";
import { answerFromPageCache, ensureCoordinator, ensureTopic } from "./admin.ts";
import { CLIENT_ID, MemberGroup } from "./members.ts";
import { makeMember } from "./rebalance.ts";
import type { Protocol } from "./workloads.ts";

const MEMBERS_BEFORE = 2;
const MEMBERS = 50;
const PARTITIONS = 200;
/** Rounds that are not counted: compilers get to know their work. */
const WARM_ROUNDS = 10;

interface Span {
  readonly fromMs: number;
  toMs: number;
}

/** Notes when each request of a connection left and when its answer was there. */
function timed(wire: Wire): readonly Span[] {
  const spans: Span[] = [];
  const send = wire.send.bind(wire);
  wire.send = async (api, version, request) => {
    const span = { fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY };
    spans.push(span);
    const answer = await send(api, version, request);
    span.toMs = performance.now();
    return answer;
  };
  return spans;
}

/** CPU time of all threads of a process, ms. */
function cpuMs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
    return sum + Number(text.split(" ")[0]) / 1e6;
  }, 0);
}

/** One rebalance, in ms. */
async function rebalance(
  bootstrap: string,
  pid: number,
  protocol: Protocol,
  heartbeatMs: number,
  place: { groupId: string; topic: string; topicId: string },
): Promise<Record<string, number>> {
  const group = new MemberGroup(PARTITIONS);
  const wires = await Promise.all(
    Array.from({ length: MEMBERS }, () => Wire.connect(bootstrap, CLIENT_ID)),
  );
  const spans = wires.map(timed);
  const options = { ...place, partitions: PARTITIONS, heartbeatMs, onChange: group.look };
  const members = wires.map((wire) => makeMember(protocol, { ...options, wire }));
  try {
    await group.start(members.slice(0, MEMBERS_BEFORE));
    const cpuBefore = [cpuMs(pid), cpuMs(process.pid)] as const;
    const startMs = performance.now();
    await group.start(members.slice(MEMBERS_BEFORE));
    const endMs = performance.now();
    const brokerMs = cpuMs(pid) - cpuBefore[0];
    const clientMs = cpuMs(process.pid) - cpuBefore[1];
    // What a member sends without waiting for its interval follows from the answer before.
    const toldMs = Math.max(
      startMs,
      ...spans.slice(0, MEMBERS_BEFORE).map((sent) => {
        const first = sent.find(
          ({ fromMs }, at) =>
            fromMs > startMs && fromMs - (sent[at - 1]?.toMs ?? 0) < heartbeatMs / 2,
        );
        return first?.fromMs ?? startMs;
      }),
    );
    const last = spans.toSorted((one, other) => lastEnd(other, endMs) - lastEnd(one, endMs))[0];
    const askedMs = (last ?? [])
      .filter(({ toMs }) => toMs > toldMs && toMs <= endMs)
      .reduce((sum, { fromMs, toMs }) => sum + toMs - Math.max(fromMs, toldMs), 0);
    using admin = await Wire.connect(bootstrap, CLIENT_ID);
    await group.leave(admin);
    return {
      "whole, ms": endMs - startMs,
      "told, ms": toldMs - startMs,
      "asleep, ms": endMs - toldMs - askedMs,
      "asked, ms": askedMs,
      "broker CPU, ms": brokerMs,
      "client CPU, ms": clientMs,
    };
  } finally {
    for (const wire of wires) wire[Symbol.dispose]();
  }
}

/** When the newest answer came that was there before `endMs`. */
function lastEnd(spans: readonly Span[], endMs: number): number {
  return Math.max(...spans.map(({ toMs }) => toMs).filter((toMs) => toMs <= endMs));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    systems: { type: "string", default: "self,kafka" },
    rounds: { type: "string", default: "20" },
    "heartbeat-ms": { type: "string", default: "10" },
    durability: { type: "string", default: "page-cache" },
  },
});
const heartbeatMs = values["heartbeat-ms"];
const protocols = (["classic", "consumer"] as const).filter(
  (protocol) => positionals.length === 0 || positionals.includes(protocol),
);
for (const name of values.systems.split(",")) {
  const system = systems[name];
  if (system === undefined) throw new Error(`no system ${name}`);
  const directory = mkdtempSync(join(tmpdir(), "rebalance-trace-"));
  await system.prepare();
  const running = await system.start({
    directory,
    port: await freePort(),
    settings: {
      "group.initial.rebalance.delay.ms": "0",
      "group.consumer.assignment.interval.ms": "0",
      "group.consumer.min.heartbeat.interval.ms": heartbeatMs,
      "group.consumer.heartbeat.interval.ms": heartbeatMs,
    },
  });
  const { bootstrap, pid } = running;
  try {
    using wire = await Wire.connect(bootstrap, CLIENT_ID);
    const topic = `trace-${PARTITIONS}`;
    const topicId = await ensureTopic(wire, topic, PARTITIONS);
    if (values.durability === "page-cache") await answerFromPageCache(bootstrap, system);
    for (const protocol of protocols) {
      const rounds: Record<string, number>[] = [];
      for (let round = -WARM_ROUNDS; round < Number(values.rounds); round++) {
        const groupId = `trace-${protocol}-${Date.now()}-${round}`;
        await ensureCoordinator(wire, [groupId]);
        const place = { groupId, topic, topicId };
        const parts = await rebalance(bootstrap, pid, protocol, Number(heartbeatMs), place);
        if (round >= 0) rounds.push(parts);
      }
      const median = (part: string): string =>
        (spreadOf(rounds.map((each) => each[part] ?? 0))?.median ?? 0).toFixed(1);
      const parts = Object.keys(rounds[0] ?? {}).map((part) => `${part} ${median(part)}`);
      console.log(`${name} ${protocol}: ${parts.join("; ")}`);
    }
  } finally {
    await running.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
