/**
 * What groups go through, with members of one client, and optionally a broker that is restarted in the middle. A scenario says what happens and what
 * it waits for; the checker judges the logs at its end.
 */
import { until } from "../../support/process.ts";
import type { BrokerProcess } from "../../support/broker-process.ts";
import { checkGroup, lostCommits, repeatedReads } from "./checker.ts";
import type { GroupClient } from "./clients.ts";
import type { Feeder } from "./feeder.ts";
import { HERE } from "../support/toolchains.ts";
import {
  Member,
  placeName,
  type MemberEvent,
  type MemberOptions,
  type Protocol,
} from "./member.ts";

/** How the broker is restarted in the middle of a scenario. */
export type Restart = "none" | "clean" | "kill";

const PARTITIONS = 6;
const WAIT_MS = 90_000;
/** Records a partition that count as progress. */
const STRIDE = 5;

/** What a scenario works with. */
export interface Stage {
  readonly client: GroupClient;
  readonly command: readonly string[];
  readonly protocol: Protocol;
  readonly restart: Restart;
  readonly bootstrap: string;
  /** Null for a broker that is not ours to restart. */
  readonly broker: BrokerProcess | null;
  readonly feeder: Feeder;
  /** Unique on the broker. */
  readonly name: string;
}

/** Thrown where something demanded does not hold; the message lists the findings. */
export class Broken extends Error {}

function demand(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new Broken(
      [
        ...problems.slice(0, 12),
        ...(problems.length > 12 ? [`and ${problems.length - 12} more`] : []),
      ].join("\n"),
    );
}

/** One group of a scenario: its topic, its members past and present. */
class Group {
  readonly members: Member[] = [];
  readonly topics: string[];
  readonly #stage: Stage;
  readonly #id: string;
  readonly #sessionTimeoutMs: number;
  readonly #places: () => readonly string[];

  constructor(
    stage: Stage,
    id: string,
    topics: string[],
    places: () => readonly string[],
    sessionTimeoutMs: number,
  ) {
    this.#stage = stage;
    this.#id = id;
    this.topics = topics;
    this.#places = places;
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  /** Starts a member; `name` is for messages. */
  start(name: string, more: Partial<MemberOptions> = {}): Member {
    const options: MemberOptions = {
      group: this.#id,
      topics: this.topics,
      protocol: this.#stage.protocol,
      sessionTimeoutMs: this.#sessionTimeoutMs,
      heartbeatMs: 500,
      ...more,
    };
    const command = [...this.#stage.command, "--bootstrap", this.#stage.bootstrap];
    const member = new Member(`${this.#id} ${name}`, command, HERE, options);
    this.members.push(member);
    return member;
  }

  /** Waits until these members, and nobody else, own all partitions, each at least one. */
  async settled(...members: Member[]): Promise<void> {
    await this.#until(`${members.length} members share all partitions`, () => {
      const owned = members.flatMap((one) => [...one.owned]);
      return (
        members.every((one) => one.owned.size > 0) &&
        owned.length === this.#places().length &&
        new Set(owned).size === owned.length
      );
    });
  }

  /** Waits until every partition was read a stride further than now. */
  async progress(): Promise<void> {
    const before = this.#counts();
    await this.#until(`${STRIDE} more records of each partition`, () => {
      const now = this.#counts();
      return this.#places().every(
        (place) => (now.get(place) ?? 0) >= (before.get(place) ?? 0) + STRIDE,
      );
    });
  }

  /** Waits for a sign among these members that the group is rebalancing, later than `since`. */
  async stirs(since: number, ...members: Member[]): Promise<void> {
    await this.#until("a rebalance begins", () =>
      members.some(
        ({ events, end }) =>
          end !== null ||
          events.some(
            ({ at, event }) =>
              at >= since && (event === "assigned" || event === "revoked" || event === "lost"),
          ),
      ),
    );
  }

  /** Stops the records, waits until all are read and committed, makes all leave, and judges. */
  async finish(): Promise<void> {
    await this.#stage.feeder.stop();
    const ends = await this.#ends();
    let committed = new Map<string, number>();
    await this.#until("everything is committed", async () => {
      await Bun.sleep(100);
      committed = await this.#stage.feeder.committed(this.#id);
      return [...ends].every(([place, end]) => (committed.get(place) ?? -1) >= end || end === 0);
    });
    for (const member of this.members) if (member.end === null) await member.leave();
    committed = await this.#stage.feeder.committed(this.#id);
    demand(checkGroup(this.members, { ends, committed }, this.#stage.client.limits));
  }

  /** Demands that acknowledged commits are still there. */
  async demandKept(): Promise<void> {
    const logged = this.members.map(({ name, identity, events, end }) => ({
      name,
      identity,
      events: [...events],
      end,
    }));
    demand(lostCommits(logged, await this.#stage.feeder.committed(this.#id)));
  }

  async #ends(): Promise<Map<string, number>> {
    const all = await this.#stage.feeder.ends();
    return new Map([...all].filter(([place]) => this.#places().includes(place)));
  }

  #counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { events } of this.members)
      for (const event of events)
        if (event.event === "read") {
          const place = placeName(event.topic, event.partition);
          counts.set(place, Math.max(counts.get(place) ?? 0, (event.offsets.at(-1) ?? -1) + 1));
        }
    return counts;
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await until(condition, WAIT_MS, () => "late");
    } catch (error) {
      if (!(error instanceof Error) || error.message !== "late") throw error;
      const words = await Promise.all(this.members.map(async (one) => await one.lastWords()));
      throw new Broken(`waited ${WAIT_MS} ms in vain: ${what}\n${words.join("\n")}`);
    }
  }
}

/** The groups of one run, so that whatever is left is ended. */
export class Play {
  readonly groups: Group[] = [];
  readonly #stage: Stage;
  #awaySince: number | null = null;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  get protocol(): Protocol {
    return this.#stage.protocol;
  }

  get isQuiet(): boolean {
    return this.#stage.restart === "none";
  }

  feed(): void {
    this.#stage.feeder.feed();
  }

  /** A group on a topic of its own, or on the one that `beside` has. */
  async group(sessionTimeoutMs: number, beside?: Group): Promise<Group> {
    const topic = `${this.#stage.name}-t${this.groups.length}`;
    if (beside === undefined) await this.#stage.feeder.create(topic, PARTITIONS);
    const topics = beside?.topics ?? [topic];
    const places = topics.flatMap((one) =>
      Array.from({ length: PARTITIONS }, (_, partition) => placeName(one, partition)),
    );
    const group = new Group(
      this.#stage,
      `${this.#stage.name}-g${this.groups.length}`,
      topics,
      () => places,
      sessionTimeoutMs,
    );
    this.groups.push(group);
    return group;
  }

  /** A group whose topics match a pattern; `add` makes another such topic. */
  async patternGroup(
    sessionTimeoutMs: number,
  ): Promise<{ group: Group; pattern: string; add: () => Promise<void> }> {
    const places: string[] = [];
    const topics: string[] = [];
    const add = async (): Promise<void> => {
      const topic = `${this.#stage.name}-match-${topics.length}`;
      topics.push(topic);
      await this.#stage.feeder.create(topic, PARTITIONS);
      for (let partition = 0; partition < PARTITIONS; partition += 1)
        places.push(placeName(topic, partition));
    };
    const id = `${this.#stage.name}-g${this.groups.length}`;
    const group = new Group(this.#stage, id, topics, () => places, sessionTimeoutMs);
    this.groups.push(group);
    return { group, pattern: `^${this.#stage.name}-match-[0-9]+$`, add };
  }

  /** The middle of a scenario: restarts the broker where the run says so, and demands that nothing acknowledged was lost. */
  async middle(): Promise<void> {
    const { restart, broker, feeder } = this.#stage;
    if (restart === "none") return;
    if (broker === null) throw new Error("this broker is not ours to restart");
    this.#awaySince = Date.now();
    await broker.stop(restart === "clean" ? "SIGTERM" : "SIGKILL");
    await broker.start();
    await until(
      async () => await feeder.isUp(),
      60_000,
      () => "the broker does not answer again",
    );
    for (const group of this.groups) await group.demandKept();
  }

  /** Whether a member of a client that gives up on a refused connection did so since the broker went away: it joins anew by itself. */
  gaveUp({ events }: Member): boolean {
    const since = this.#awaySince;
    if (since === null || this.#stage.client.rejoinsAfterRefusal !== true) return false;
    return events.some(({ event, at }) => (event === "lost" || event === "revoked") && at >= since);
  }

  async end(): Promise<void> {
    for (const { members } of this.groups)
      for (const member of members) if (member.end === null) await member.kill();
  }
}

/** Demands that nothing was given to or taken from a member, and that another came back to what it had. */
function demandUnmoved(
  events: readonly MemberEvent[],
  had: readonly string[],
  has: readonly string[],
): void {
  demand(
    events
      .filter((event) => "partitions" in event && event.partitions.length > 0)
      .map((event) => `static: the other member was rebalanced: ${JSON.stringify(event)}`),
  );
  if (has.join() !== had.join())
    demand([`static: came back to [${has.join(" ")}], had [${had.join(" ")}]`]);
}

/** One scenario. */
export interface Scenario {
  readonly name: string;
  readonly protocols: readonly Protocol[];
  /** Settings of the broker, over those of all scenarios. */
  readonly overrides?: Record<string, string>;
  applies?(client: GroupClient, protocol: Protocol): boolean;
  run(play: Play): Promise<void>;
}

const ALL: readonly Protocol[] = ["classic", "cooperative", "consumer"];
/** Long enough that no member on a busy machine is taken for dead. */
const PATIENT_MS = 30_000;
/** Short enough to wait for the death of a killed member. */
const SHORT_MS = 6_000;
/** Long enough for a member that was ended to be started again meanwhile. */
const AWAY_MS = 60_000;
const sessions = (milliseconds: number): Record<string, string> => ({
  "group.consumer.session.timeout.ms": String(milliseconds),
});

/** Every scenario, by what the issue of groups calls it. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "split",
    protocols: ALL,
    run: async (play) => {
      const group = await play.group(PATIENT_MS);
      const [one, two] = [group.start("one"), group.start("two")];
      await group.settled(one, two);
      play.feed();
      await group.progress();
      await play.middle();
      await group.progress();
      await group.finish();
      if (play.isQuiet) demand(repeatedReads(group.members));
    },
  },
  {
    name: "join",
    protocols: ALL,
    run: async (play) => {
      const group = await play.group(PATIENT_MS);
      const [one, two] = [group.start("one"), group.start("two")];
      await group.settled(one, two);
      play.feed();
      await group.progress();
      const since = Date.now();
      const three = group.start("three");
      await group.stirs(since, one, two);
      await play.middle();
      await group.settled(one, two, three);
      await group.progress();
      await group.finish();
    },
  },
  {
    name: "leave",
    protocols: ALL,
    overrides: sessions(SHORT_MS * 2),
    run: async (play) => {
      // A broker that is killed may not have heard that the member leaves: then its session has to end.
      const group = await play.group(SHORT_MS * 2);
      const [one, two, three] = [group.start("one"), group.start("two"), group.start("three")];
      await group.settled(one, two, three);
      play.feed();
      await group.progress();
      const since = Date.now();
      const gone = three.leave();
      await group.stirs(since, one, two, three);
      await play.middle();
      await gone;
      await group.settled(one, two);
      await group.progress();
      await group.finish();
    },
  },
  {
    name: "kill",
    protocols: ALL,
    overrides: sessions(SHORT_MS),
    run: async (play) => {
      const group = await play.group(SHORT_MS);
      const [one, two, three] = [group.start("one"), group.start("two"), group.start("three")];
      await group.settled(one, two, three);
      play.feed();
      await group.progress();
      await three.kill();
      await play.middle();
      await group.settled(one, two);
      await group.progress();
      await group.finish();
    },
  },
  {
    name: "static",
    protocols: ALL,
    overrides: sessions(AWAY_MS),
    applies: ({ staticIn }, protocol) => staticIn.includes(protocol),
    run: async (play) => {
      const group = await play.group(AWAY_MS);
      const one = group.start("one", { instanceId: "first" });
      await group.settled(one);
      const two = group.start("two", { instanceId: "second" });
      await group.settled(one, two);
      play.feed();
      await group.progress();
      const had = [...two.owned].toSorted();
      const quietSince = one.events.length;
      // A next-generation coordinator keeps a killed member's instance until its session ends, so there it says that it will be back.
      await (play.protocol === "consumer" ? two.leave() : two.kill());
      await play.middle();
      const again = group.start("two again", { instanceId: "second" });
      await group.settled(one, again);
      await group.progress();
      if (!play.gaveUp(one))
        demandUnmoved(one.events.slice(quietSince), had, [...again.owned].toSorted());
      await group.finish();
    },
  },
  {
    name: "resume",
    protocols: ALL,
    run: async (play) => {
      const group = await play.group(PATIENT_MS);
      const [one, two] = [group.start("one"), group.start("two")];
      await group.settled(one, two);
      play.feed();
      await group.progress();
      await Promise.all([one.leave(), two.leave()]);
      await play.middle();
      await group.demandKept();
      const [three, four] = [group.start("three"), group.start("four")];
      await group.settled(three, four);
      await group.progress();
      await group.finish();
    },
  },
  {
    name: "two groups",
    protocols: ALL,
    run: async (play) => {
      const left = await play.group(PATIENT_MS);
      const right = await play.group(PATIENT_MS, left);
      const [one, two, three] = [left.start("one"), left.start("two"), right.start("three")];
      await Promise.all([left.settled(one, two), right.settled(three)]);
      play.feed();
      await Promise.all([left.progress(), right.progress()]);
      await play.middle();
      await Promise.all([left.progress(), right.progress()]);
      await left.finish();
      await right.finish();
      if (play.isQuiet) demand(play.groups.flatMap(({ members }) => repeatedReads(members)));
    },
  },
  {
    name: "pattern",
    protocols: ["consumer"],
    applies: ({ hasServerPattern }) => hasServerPattern,
    run: async (play) => {
      const { group, pattern, add } = await play.patternGroup(PATIENT_MS);
      await add();
      const [one, two] = [group.start("one", { pattern }), group.start("two", { pattern })];
      await group.settled(one, two);
      play.feed();
      await group.progress();
      await play.middle();
      await add();
      await group.settled(one, two);
      await group.progress();
      await group.finish();
    },
  },
  {
    name: "migrate",
    protocols: ["consumer"],
    run: async (play) => {
      const group = await play.group(PATIENT_MS);
      const classic = { protocol: "classic" } as const;
      const [one, two] = [
        group.start("one, classic", classic),
        group.start("two, classic", classic),
      ];
      await group.settled(one, two);
      play.feed();
      await group.progress();
      const three = group.start("three, consumer");
      await group.settled(one, two, three);
      await play.middle();
      await group.progress();
      await one.leave();
      const four = group.start("four, consumer");
      await group.settled(two, three, four);
      await two.leave();
      await group.settled(three, four);
      await group.progress();
      const five = group.start("five, classic", classic);
      await group.settled(three, four, five);
      await three.leave();
      await group.settled(four, five);
      await group.progress();
      await four.leave();
      await group.settled(five);
      await group.progress();
      await group.finish();
    },
  },
];
