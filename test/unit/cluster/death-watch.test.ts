/** Evidence that brokers are dead: what leads to a fence, and what does not. */
import { expect, test } from "bun:test";
import { DeathWatch } from "#cluster/death-watch.ts";
import { type BrokerImage, type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";

function broker(id: number, epoch: number, isFenced = false): BrokerImage {
  return {
    id,
    epoch,
    incarnationId: `life-${epoch}`,
    endpoints: [],
    features: [],
    rack: null,
    isFenced,
    isInControlledShutdown: false,
    logDirs: [],
    cordonedLogDirs: [],
  };
}

function world(): {
  watch: DeathWatch;
  fenced: string[];
  disagreements: number[];
  state: { isActive: boolean; answers: boolean };
} {
  const fenced: string[] = [];
  const disagreements: number[] = [];
  const state = { isActive: true, answers: false };
  const image: ClusterImage = {
    ...EMPTY_IMAGE,
    brokers: new Map([1, 2, 3, 4].map((id) => [id, broker(id, id * 10, id === 4)])),
  };
  const watch = new DeathWatch({
    nodeId: 1,
    incarnationId: "life-10",
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    image: () => image,
    isActive: () => state.isActive,
    fence: (id, epoch, evidence) => fenced.push(`${id} ${epoch} ${evidence}`),
    pingTimeoutMs: 600,
    ping: () => Promise.resolve(state.answers),
    onDisagreement: (id) => disagreements.push(id),
  });
  return { watch, fenced, disagreements, state };
}

test("a process that is gone is fenced at once, but not this one, nor one that is unknown; the session of a fenced one ends", () => {
  const { watch, fenced } = world();
  for (const id of [1, 2, 4, 9]) watch.onGone(id);
  expect(fenced).toEqual(["2 20 connection", "4 40 connection"]);
});

test("a new controller acts on what it saw before its turn, unless the node is back", () => {
  const { watch, fenced, state } = world();
  state.isActive = false;
  watch.onGone(2);
  watch.onGone(3);
  watch.onReached(3, "life-30");
  expect(fenced).toEqual([]);
  state.isActive = true;
  watch.activate();
  expect(fenced).toEqual(["2 20 connection"]);
});

test("another process that speaks for a node shows that the registered one is gone", () => {
  const { watch, fenced } = world();
  watch.onReached(2, "life-20");
  expect(fenced).toEqual([]);
  watch.onReached(2, "another");
  expect(fenced).toEqual(["2 20 connection"]);
});

test("SWIM is believed only of a node that does not answer", async () => {
  const { watch, fenced, disagreements, state } = world();
  watch.onSuspect(2);
  await watch.onDown(2);
  expect([fenced, disagreements]).toEqual([["2 20 swim"], []]);
  state.answers = true;
  watch.onSuspect(3);
  await watch.onDown(3);
  expect([fenced, disagreements]).toEqual([["2 20 swim"], [3]]);
});

test("SWIM's word counts for nothing where this node does not decide", async () => {
  const { watch, fenced, state } = world();
  state.isActive = false;
  await watch.onDown(2);
  state.isActive = true;
  watch.activate();
  expect(fenced).toEqual([]);
});

test("a node that heard of others before it knew who is registered acts when it decides", () => {
  const fenced: string[] = [];
  let image: ClusterImage = EMPTY_IMAGE;
  const watch = new DeathWatch({
    nodeId: 1,
    incarnationId: "new",
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    image: () => image,
    isActive: () => true,
    fence: (id, epoch, evidence) => fenced.push(`${id} ${epoch} ${evidence}`),
    pingTimeoutMs: 600,
    ping: () => Promise.resolve(true),
    onDisagreement: () => {},
  });
  watch.onReached(2, "another");
  watch.onReached(3, "life-30");
  image = { ...EMPTY_IMAGE, brokers: new Map([1, 2, 3].map((id) => [id, broker(id, id * 10)])) };
  watch.activate();
  expect(fenced).toEqual(["1 10 connection", "2 20 connection"]);
});
