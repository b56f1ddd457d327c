/** The machine from TypeScript, on a clock and a network of the test's own: find each other, see a death, hear a good-bye. */
import { afterEach, describe, expect, test } from "bun:test";
import { SwimCore } from "../../../src/membership/swim-core.ts";
import type { SwimAddress, SwimEvent } from "../../../src/membership/swim.ts";

const addressOf = (nodeId: number): SwimAddress => ({ host: `10.0.0.${nodeId + 1}`, port: 9093 });
const START_MS = 1_700_000_000_000;

/** Nodes whose packets arrive a quarter of a millisecond after they were sent, unless `isLost`. */
class Cluster {
  nowMs = START_MS;
  readonly nodes: Map<number, SwimCore> = new Map();
  readonly events: { readonly by: number; readonly event: SwimEvent }[] = [];
  packets = 0;
  #inFlight: { atMs: number; from: number; to: SwimAddress; bytes: Uint8Array }[] = [];

  add(nodeId: number, secret = "secret"): SwimCore {
    const node = new SwimCore({
      nodeId,
      incarnationId: `AAAAAAAAAAAAAAAAAAAA${nodeId}Q`,
      clusterId: "cluster",
      secret,
      address: addressOf(nodeId),
      seeds: [addressOf(0)],
      profile: "fast",
      seed: Math.abs(nodeId),
      nowMs: this.nowMs,
    });
    this.nodes.set(nodeId, node);
    return node;
  }

  run(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    for (;;) {
      const deadlines = [...this.nodes.values()].map((node) => node.nextDeadlineMs());
      const nextMs = Math.min(...deadlines, ...this.#inFlight.map(({ atMs }) => atMs));
      if (nextMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, nextMs);
      const due = this.#inFlight.filter(({ atMs }) => atMs <= this.nowMs);
      this.#inFlight = this.#inFlight.filter(({ atMs }) => atMs > this.nowMs);
      for (const { from, to, bytes } of due) {
        for (const [id, node] of this.nodes)
          if (addressOf(id).host === to.host) node.handlePacket(this.nowMs, addressOf(from), bytes);
      }
      for (const [id, node] of this.nodes) {
        if (node.nextDeadlineMs() <= this.nowMs) node.handleTimer(this.nowMs);
        this.take(id, node);
      }
    }
    this.nowMs = untilMs;
  }

  take(id: number, node: SwimCore): void {
    const { packets, events } = node.takeOutputs();
    this.packets += packets.length;
    for (const { to, bytes } of packets)
      this.#inFlight.push({ atMs: this.nowMs + 0.25, from: id, to, bytes });
    for (const event of events) this.events.push({ by: id, event });
  }

  kindsOf(by: number, of: number): string[] {
    return this.events
      .filter((told) => told.by === by && told.event.nodeId === of)
      .map(({ event }) => event.kind);
  }

  close(): void {
    for (const node of this.nodes.values()) node.close();
  }
}

let cluster = new Cluster();
afterEach(() => {
  cluster.close();
  cluster = new Cluster();
});

describe("SwimCore", () => {
  test("nodes find each other through a seed", () => {
    for (const id of [0, 1, 2]) cluster.add(id);
    cluster.run(2000);
    for (const [id, node] of cluster.nodes) {
      const members = node.members();
      expect(members.map(({ nodeId }) => nodeId)).toEqual(
        [0, 1, 2].filter((other) => other !== id),
      );
      expect(members.map(({ state }) => state)).toEqual(["alive", "alive"]);
      expect(members[0]?.address.port).toBe(9093);
    }
    expect(cluster.nodes.get(0)?.statistics()).toMatchObject({ state: "running", aliveMembers: 2 });
  });

  test("a death is told as suspicion and down, a good-bye as left", () => {
    for (const id of [0, 1, 2, 3]) cluster.add(id);
    cluster.run(2000);
    cluster.nodes.get(2)?.close();
    cluster.nodes.delete(2);
    cluster.nodes.get(3)?.leave(cluster.nowMs);
    cluster.run(2000);
    for (const by of [0, 1]) {
      expect(cluster.kindsOf(by, 2)).toEqual(["alive", "suspect", "down"]);
      expect(cluster.kindsOf(by, 3)).toEqual(["alive", "left"]);
    }
    expect(cluster.nodes.get(3)?.statistics().state).toBe("left");
    expect(cluster.nodes.get(3)?.nextDeadlineMs()).toBe(Infinity);
  });

  test("who is not healthy leaves and comes back", () => {
    for (const id of [0, 1]) cluster.add(id);
    cluster.run(2000);
    cluster.nodes.get(1)?.setHealthy(cluster.nowMs, false);
    cluster.run(500);
    expect(cluster.events.at(-1)?.event).toMatchObject({ kind: "left", reason: "unhealthy" });
    cluster.nodes.get(1)?.setHealthy(cluster.nowMs, true);
    cluster.run(1000);
    expect(cluster.kindsOf(0, 1)).toEqual(["alive", "left", "alive"]);
  });

  test("another secret is refused and counted", () => {
    cluster.add(0);
    cluster.add(1, "guess");
    cluster.run(2000);
    expect(cluster.nodes.get(0)?.members()).toEqual([]);
    expect(cluster.nodes.get(0)?.statistics().refused.forged).toBeGreaterThan(0);
  });

  test("the same seeds send the same packets", () => {
    const packetsOf = (): number => {
      const one = new Cluster();
      for (const id of [0, 1, 2]) one.add(id);
      one.run(5000);
      one.close();
      return one.packets;
    };
    expect(packetsOf()).toBe(packetsOf());
  });

  test("options that make no sense are an error", () => {
    expect(() => cluster.add(-1)).toThrow("a node id is not negative");
  });
});
