/** The world itself: order, time and chance come from the seed, a machine's past dies with it, and connections keep their promises. */
import { describe, expect, test } from "bun:test";
import type { End } from "./network.ts";
import { Network, type NetworkProfile } from "./network.ts";
import { SeededRandom } from "./random.ts";
import { Caller, serve } from "./rpc.ts";
import { Machine, World } from "./world.ts";

const QUIET: NetworkProfile = {
  delayMs: [1, 10],
  slowChance: 0.2,
  slowMs: 50,
  lossChance: 0.2,
  duplicateChance: 0.2,
};

interface Stage {
  readonly world: World;
  readonly network: Network;
  readonly machines: readonly Machine[];
}

function stage(seed: number): Stage {
  const world = new World(seed);
  const network = new Network(world, QUIET);
  const machines = [0, 1].map((id) => new Machine(world, id, { rate: 1, offsetMs: 0 }));
  for (const machine of machines) {
    machine.start();
    network.add(machine);
  }
  return { world, network, machines };
}

/** Connects machine 0 to machine 1 and notes what arrives there. */
function connected({ world, network, machines }: Stage): { end: End; heard: unknown[] } {
  const heard: unknown[] = [];
  let end: End | null = null;
  const [client, server] = machines;
  if (client === undefined || server === undefined) throw new Error("no machines");
  network.listen(server, "s", (accepted) => {
    accepted.onMessage = (message) => heard.push(message);
    accepted.onClose = () => heard.push("closed");
  });
  network.connect(
    client,
    1,
    "s",
    (opened) => (end = opened),
    () => heard.push("refused"),
  );
  world.runUntil(world.nowMs + 500);
  if (end === null) throw new Error("not connected");
  return { end, heard };
}

describe("chance", () => {
  test("comes from the seed, and each part has a stream of its own", () => {
    const one = new SeededRandom(7);
    const other = new SeededRandom(7);
    other.next();
    expect(one.split("a").uuid()).toBe(other.split("a").uuid());
    expect(one.split("a").uuid()).not.toBe(one.split("b").uuid());
    expect(new SeededRandom(8).split("a").uuid()).not.toBe(one.split("a").uuid());
  });

  test("decides the order of events of one moment, the same way each time", () => {
    const orderOf = (seed: number): string => {
      const world = new World(seed);
      const order: number[] = [];
      for (let at = 0; at < 20; at += 1) world.after(5, () => order.push(at));
      world.runUntil(10);
      return order.join();
    };
    expect(orderOf(1)).toBe(orderOf(1));
    expect(orderOf(1)).not.toBe(orderOf(2));
  });
});

describe("a machine", () => {
  test("that died hears no timer of its earlier life, and a paused one hears them late and in order", () => {
    const { world, machines } = stage(1);
    const [machine] = machines;
    const heard: string[] = [];
    machine?.after(5, () => heard.push("dead"));
    machine?.stop();
    machine?.start();
    for (const at of [1, 2, 3])
      machine?.after(at, () => heard.push(`${at} at ${world.nowMs >= 50}`));
    machine?.pause();
    world.runUntil(50);
    expect(heard).toEqual([]);
    machine?.resume();
    world.runUntil(60);
    expect(heard).toEqual(["1 at true", "2 at true", "3 at true"]);
  });

  test("does not run a timer that was cancelled while it was paused", () => {
    const { world, machines } = stage(1);
    const [machine] = machines;
    let count = 0;
    const timer = machine?.after(1, () => (count += 1));
    machine?.pause();
    world.runUntil(5);
    timer?.cancel();
    machine?.resume();
    world.runUntil(10);
    expect(count).toBe(0);
  });
});

describe("a connection", () => {
  test("keeps the order, waits out a cut, and loses what is on the way when it is reset", () => {
    const place = stage(3);
    const { end, heard } = connected(place);
    for (let at = 0; at < 50; at += 1) end.send(at);
    place.world.runUntil(1000);
    expect(heard).toEqual(Array.from({ length: 50 }, (_, at) => at));
    heard.length = 0;
    place.network.cut(0, 1);
    end.send("late");
    place.world.runUntil(5000);
    expect(heard).toEqual([]);
    place.network.mend(0, 1);
    place.world.runUntil(6000);
    expect(heard).toEqual(["late"]);
    end.send("lost");
    place.network.reset(0, 1);
    place.world.runUntil(9000);
    expect(heard).toEqual(["late", "closed"]);
    expect(end.isOpen).toBe(false);
  });

  test("to a process that died is closed, and refused when tried again; without power nothing is heard", () => {
    const place = stage(4);
    const { end } = connected(place);
    const [, server] = place.machines;
    let told = "";
    end.onClose = () => (told = "closed");
    server?.stop();
    if (server !== undefined) place.network.onStopped(server, false);
    place.world.runUntil(2000);
    expect(told).toBe("closed");
    const [client] = place.machines;
    if (client === undefined || server === undefined) throw new Error("no machines");
    const tell = (what: string): void => {
      told = what;
    };
    place.network.connect(
      client,
      1,
      "s",
      () => tell("open"),
      () => tell("refused"),
    );
    place.world.runUntil(3000);
    expect(told).toBe("refused");
    place.network.onStopped(server, true);
    told = "";
    place.network.connect(
      client,
      1,
      "s",
      () => tell("open"),
      () => tell("refused"),
    );
    place.world.runUntil(9000);
    expect(told).toBe("");
  });

  test("carries requests: each has one outcome", () => {
    const place = stage(5);
    const [client, server] = place.machines;
    if (client === undefined || server === undefined) throw new Error("no machines");
    serve(place.world, place.network, server, "double", (request) =>
      Promise.resolve((request as number) * 2),
    );
    const caller = new Caller(place.network, client, 1, "double");
    const outcomes: unknown[] = [];
    for (const number of [1, 2, 3]) {
      caller.call(number, 500).then(
        (answer) => outcomes.push(answer),
        (error: unknown) => outcomes.push(String(error)),
      );
    }
    place.world.runUntil(1000);
    expect(new Set(outcomes)).toEqual(new Set([2, 4, 6]));
    place.network.cut(1, 0);
    caller.call(4, 500).catch((error: unknown) => outcomes.push(String(error)));
    place.world.runUntil(3000);
    expect(outcomes.at(-1)).toBe("CallFailure: timeout");
  });
});

test("datagrams are lost, doubled and reordered, and never arrive in another life", () => {
  const { world, network, machines } = stage(6);
  const [client, server] = machines;
  if (client === undefined || server === undefined) throw new Error("no machines");
  const heard: number[] = [];
  for (let at = 0; at < 200; at += 1) network.datagram(client, 1, () => heard.push(at));
  world.runUntil(1000);
  const once = new Set(heard);
  expect(once.size).toBeGreaterThan(100);
  expect(once.size).toBeLessThan(200);
  expect(heard.length).toBeGreaterThan(once.size);
  expect(heard).not.toEqual(heard.toSorted((left, right) => left - right));
});
