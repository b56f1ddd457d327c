/**
 * What a broker can be overloaded with, one function each. A scenario starts a broker, measures a healthy client before and during
 * the attack, and says what it saw; `main.ts` holds that against the limits and prints it.
 */
import { FetchApi } from "#protocol/generated/fetch.ts";
import { ProduceApi } from "#protocol/generated/produce.ts";
import { Wire } from "../differential/wire.ts";
import { createTopic, type SetupOptions, Subject, type Target, type Window } from "./broker.ts";
import { Crowd } from "./crowd.ts";
import {
  announcedFrame,
  apiVersionsFrame,
  batchOf,
  fetchFrame,
  fetchRequest,
  metadataFrame,
  produceFrame,
  produceRequest,
} from "./frames.ts";

const MIB = 1 << 20;

/** Something that was to hold. */
export interface Check {
  readonly what: string;
  readonly saw: string;
  readonly limit: string;
  readonly holds: boolean;
}

/** What a scenario saw. */
export interface Outcome {
  readonly before: Window;
  /** While the attackers come: they connect and send what they send at once. */
  readonly coming: Window;
  /** While they are there. */
  readonly during: Window;
  /** Most resident memory during the attack over that before it, MiB. */
  readonly grownMib: number;
  readonly checks: readonly Check[];
}

/** How large a scenario is: 1 as the goals say; tests take less. */
export interface Scale {
  readonly share: number;
  readonly beforeMs: number;
  readonly duringMs: number;
}

/** A scenario by name. */
export type Scenario = (target: Target, scale: Scale) => Promise<Outcome>;

function check(what: string, value: number, limit: number, unit = ""): Check {
  return {
    what,
    saw: `${round(value)}${unit}`,
    limit: `at most ${round(limit)}${unit}`,
    holds: value <= limit,
  };
}

function fact(what: string, holds: boolean, saw: string, limit: string): Check {
  return { what, saw, limit, holds };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Runs the attack between two measurements, watching memory. */
async function attacked(
  subject: Subject,
  scale: Scale,
  attack: () => Promise<void>,
  during: number | (() => Promise<void>) = scale.duringMs,
): Promise<Omit<Outcome, "checks">> {
  const before = await subject.measure(scale.beforeMs);
  const residentBefore = subject.residentMib;
  let peakMib = residentBefore;
  const watcher = setInterval(() => {
    peakMib = Math.max(peakMib, subject.residentMib);
  }, 50);
  const coming = await subject.measure(attack);
  const window = await subject.measure(during);
  clearInterval(watcher);
  return { before, coming, during: window, grownMib: peakMib - residentBefore };
}

/** Sluice's own keys would be warned about by Kafka. */
function forSluice(target: Target, overrides: Record<string, string>): SetupOptions {
  return target.kafkaLibraries === null ? { overrides } : {};
}

/** Connections announce 100 MiB each; `sentBytes` of it come. */
function announcing(sentBytes: number): Scenario {
  return async (target, scale) => {
    await using subject = await Subject.start(target);
    using crowd = new Crowd();
    const count = Math.round(1000 * scale.share);
    const seen = await attacked(subject, scale, async () => {
      await crowd.open(subject.address, count);
      crowd.send(announcedFrame(100 * MIB, sentBytes));
    });
    return { ...seen, checks: [check("memory", seen.grownMib, 64, " MiB")] };
  };
}

/** A byte a second of a small request, on each of many connections. */
async function drip(target: Target, scale: Scale): Promise<Outcome> {
  const deadlineMs = 3000;
  await using subject = await Subject.start(
    target,
    forSluice(target, { "sluice.frame.deadline.ms": String(deadlineMs) }),
  );
  using crowd = new Crowd();
  const count = Math.round(5000 * scale.share);
  const seen = await attacked(
    subject,
    scale,
    async () => {
      await crowd.open(subject.address, count);
      crowd.send(announcedFrame(1000, 0));
    },
    async () => {
      const byte = new Uint8Array(1);
      const until = performance.now() + Math.max(scale.duringMs, deadlineMs + 3000);
      while (performance.now() < until) {
        crowd.send(byte);
        await Bun.sleep(1000);
      }
    },
  );
  const open = crowd.openCount;
  return {
    ...seen,
    checks: [
      check("memory", seen.grownMib, 64, " MiB"),
      fact("slow drips are cut", open === 0, `${open} of ${count} open`, "none open"),
    ],
  };
}

/** Connections that only are there, and some that ask something once a second. */
async function idle(target: Target, scale: Scale): Promise<Outcome> {
  await using subject = await Subject.start(target);
  using crowd = new Crowd();
  using active = new Crowd();
  const count = Math.round(10_000 * scale.share);
  const activeCount = Math.round(1000 * scale.share);
  let openedMs = 0;
  let idleGrownMib = 0;
  let answeredCount = 0;
  const residentMib = subject.residentMib;
  const seen = await attacked(
    subject,
    scale,
    async () => {
      const started = performance.now();
      await crowd.open(subject.address, count);
      openedMs = performance.now() - started;
      idleGrownMib = subject.residentMib - residentMib;
      await active.open(subject.address, activeCount);
    },
    async () => {
      // A thousand clients do not ask at the same moment: a fiftieth of them asks every fiftieth of a second.
      const frame = apiVersionsFrame();
      const until = performance.now() + scale.duringMs;
      for (let tick = 0; performance.now() < until; tick++) {
        for (let index = tick % 50; index < activeCount; index += 50) {
          active.members[index]?.socket.write(frame);
        }
        await Bun.sleep(20);
      }
      answeredCount = active.members.filter(({ receivedBytes }) => receivedBytes > 0).length;
    },
  );
  return {
    ...seen,
    checks: [
      check("memory of an idle connection", (idleGrownMib * 1024) / count, 20, " KiB"),
      fact("all are open", crowd.openCount === count, `${crowd.openCount}`, `${count}`),
      fact(
        "the active ones are answered",
        answeredCount === activeCount,
        `${answeredCount}`,
        `${activeCount}`,
      ),
      fact("accepted a second", true, `${Math.round(count / (openedMs / 1000))}`, "reported"),
    ],
  };
}

/** Readers that ask for much and take nothing: records, and answers that are made in memory. */
async function stall(target: Target, scale: Scale): Promise<Outcome> {
  const deadlineMs = 5000;
  await using subject = await Subject.start(
    target,
    forSluice(target, { "sluice.send.deadline.ms": String(deadlineMs) }),
  );
  await createTopic(subject.address, "big");
  await createTopic(subject.address, "wide", Math.round(1000 * scale.share));
  using wire = await Wire.connect(subject.address);
  const batch = batchOf(0, 1, 900_000);
  for (let index = 0; index < 16; index++)
    await wire.send(ProduceApi, 9, produceRequest("big", batch));
  const count = Math.round(500 * scale.share);
  const askerCount = Math.ceil(count / 10);
  using fetchers = new Crowd();
  using askers = new Crowd();
  const idleDescriptors = subject.descriptors;
  const seen = await attacked(subject, scale, async () => {
    await fetchers.open(subject.address, count - askerCount, true);
    await askers.open(subject.address, askerCount, true);
    const fetch = fetchFrame("big", 0, 50 * MIB);
    fetchers.send(new Uint8Array(Buffer.concat([fetch, fetch, fetch])));
    // 1000 partitions make an answer of some 40 KB; the kernel takes a few hundred.
    askers.send(new Uint8Array(Buffer.concat(Array.from({ length: 60 }, () => metadataFrame()))));
  });
  // A socket that is paused does not hear that it was closed, but the broker's descriptors tell.
  const areCut =
    target.kafkaLibraries === null &&
    (await subject.until(() => subject.descriptors <= idleDescriptors + 20, deadlineMs + 15_000));
  return {
    ...seen,
    checks: [
      check("memory", seen.grownMib, 64, " MiB"),
      fact(
        "stalled readers are cut",
        areCut,
        `${subject.descriptors} descriptors`,
        `about ${idleDescriptors}`,
      ),
    ],
  };
}

/** Batches that inflate to a thousand times their size. */
async function bomb(target: Target, scale: Scale): Promise<Outcome> {
  await using subject = await Subject.start(target);
  await createTopic(subject.address, "bombs", 1, { "max.message.bytes": String(10 * MIB) });
  const size = Math.round(600 * MIB * scale.share);
  // As much of it as each codec packs into a batch of a megabyte.
  const bombs = [
    batchOf(1, 1, size),
    batchOf(1, 1_000_000 * scale.share, 600),
    batchOf(2, 1, Math.min(size, 18 * MIB)),
    batchOf(3, 1, Math.min(size, 200 * MIB)),
    batchOf(4, 1, size),
    batchOf(4, 1_000_000 * scale.share, 600),
  ];
  const errors = new Map<number, number>();
  let sentCount = 0;
  const seen = await attacked(
    subject,
    scale,
    () => Promise.resolve(),
    async () => {
      const until = performance.now() + scale.duringMs;
      const attack = async (first: number): Promise<void> => {
        using wire = await Wire.connect(subject.address);
        for (let index = first; performance.now() < until || index < first + 2; index++) {
          const batch = bombs[index % bombs.length] as Uint8Array;
          const answer = await wire.send(ProduceApi, 9, produceRequest("bombs", batch));
          const errorCode = answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
          errors.set(errorCode, (errors.get(errorCode) ?? 0) + 1);
          sentCount++;
        }
      };
      await Promise.all([0, 1, 2, 4].map(attack));
    },
  );
  return {
    ...seen,
    checks: [
      check("memory", seen.grownMib, 32, " MiB"),
      check("longest stall", seen.during.maxMs, 100, " ms"),
      fact(
        "bombs are answered",
        errors.size === 1 && errors.has(0),
        `${sentCount}, by error ${JSON.stringify([...errors])}`,
        "all accepted",
      ),
    ],
  };
}

/** More connections than there are descriptors. */
async function descriptors(target: Target, scale: Scale): Promise<Outcome> {
  await using subject = await Subject.start(target, {
    wrapper: ["prlimit", "--nofile=256:256"],
  });
  const before = subject.descriptors;
  const crowd = new Crowd();
  const seen = await attacked(subject, scale, () => crowd.open(subject.address, 600));
  const during = subject.descriptors;
  const open = crowd.openCount;
  const rounds = subject.roundCount;
  crowd[Symbol.dispose]();
  const isServed = await subject.until(() => subject.roundCount > rounds + 50, 5000);
  await subject.until(() => subject.descriptors <= before + 4, 10_000);
  using late = new Crowd();
  await late.open(subject.address, 1);
  late.send(apiVersionsFrame());
  const isAnswered = await subject.until(
    () => late.members.every(({ receivedBytes }) => receivedBytes > 0),
    5000,
  );
  return {
    ...seen,
    checks: [
      check("processors kept busy", seen.during.cpu, Math.max(0.9, seen.before.cpu * 2)),
      fact("descriptors used", during < 256, `${during} with ${open} clients open`, "below 256"),
      fact("old connections are served", isServed, String(isServed), "true"),
      fact("new ones are accepted again", isAnswered, String(isAnswered), "true"),
    ],
  };
}

/** One connection sends all its requests at once; another asks for ten thousand partitions. */
async function pipeline(target: Target, scale: Scale): Promise<Outcome> {
  await using subject = await Subject.start(target);
  const partitionCount = Math.round(10_000 * scale.share);
  for (let part = 0; part < 5 && target.kafkaLibraries === null; part++) {
    await createTopic(subject.address, `wide-${part}`, Math.max(1, partitionCount / 5));
  }
  const count = Math.round(100_000 * scale.share);
  using crowd = new Crowd();
  await crowd.open(subject.address, 1, false, 0);
  using wide = new Crowd();
  await wide.open(subject.address, 1, false, 0);
  const one = apiVersionsFrame();
  const burst = new Uint8Array(one.length * count);
  for (let index = 0; index < count; index++) burst.set(one, index * one.length);
  // An answer's size is learnt from the first.
  crowd.send(one);
  await subject.until(() => (crowd.members[0]?.receivedBytes ?? 0) > 0, 5000);
  const answerBytes = crowd.members[0]?.receivedBytes ?? 0;
  let answered = 0;
  const seen = await attacked(
    subject,
    scale,
    () => Promise.resolve(),
    async () => {
      crowd.send(burst);
      for (let index = 0; index < 20; index++) wide.send(metadataFrame());
      const isDone = (): boolean =>
        (crowd.members[0]?.receivedBytes ?? 0) >= answerBytes * (count + 1);
      await subject.until(isDone, 60_000);
      answered = Math.floor((crowd.members[0]?.receivedBytes ?? 0) / answerBytes) - 1;
    },
  );
  return {
    ...seen,
    checks: [
      fact("all requests are answered", answered === count, `${answered}`, `${count}`),
      check("longest stall", seen.during.maxMs, 100, " ms"),
      check("memory", seen.grownMib, 64, " MiB"),
    ],
  };
}

/** A large produce, slow but honest, while others hold what they began: it must get through. */
async function honest(target: Target, scale: Scale): Promise<Outcome> {
  await using subject = await Subject.start(target);
  await createTopic(subject.address, "large", 1, {
    "max.message.bytes": String(100 * MIB),
  });
  const frame = produceFrame("large", batchOf(0, 1, Math.round(50 * MIB * scale.share)));
  using crowd = new Crowd();
  using uploader = new Crowd();
  await uploader.open(subject.address, 1);
  const seen = await attacked(
    subject,
    scale,
    async () => {
      await crowd.open(subject.address, Math.round(200 * scale.share));
      crowd.send(announcedFrame(100 * MIB, 300_000));
    },
    async () => {
      const [member] = uploader.members;
      for (let at = 0; at < frame.length && member?.isOpen === true; at += MIB / 4) {
        member.socket.write(frame.subarray(at, at + MIB / 4));
        await Bun.sleep(200);
      }
      await subject.until(
        () => (member?.receivedBytes ?? 0) > 0 || member?.isOpen !== true,
        60_000,
      );
    },
  );
  using wire = await Wire.connect(subject.address);
  const fetched = await wire.send(FetchApi, 12, fetchRequest("large", 0, 1));
  const end = fetched.responses[0]?.partitions[0]?.highWatermark ?? -1;
  return {
    ...seen,
    checks: [fact("the upload arrived", end === 1, `log end ${end}`, "log end 1")],
  };
}

/** All of them, by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  announce: announcing(0),
  fill: announcing(256 * 1024),
  drip,
  idle,
  stall,
  bomb,
  descriptors,
  pipeline,
  honest,
};
