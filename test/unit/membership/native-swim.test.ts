/** The thread from TypeScript: two nodes of this process on the loopback interface. What happens is awaited, never timed. */
import { afterEach, expect, test } from "bun:test";
import { type SwimLimits, SwimError, startSwim } from "../../../src/membership/native-swim.ts";
import { swimSettings } from "../../../src/membership/swim-settings.ts";
import type { Swim, SwimAddress, SwimEvent } from "../../../src/membership/swim.ts";

const started: Swim[] = [];
const timers: ReturnType<typeof setInterval>[] = [];
afterEach(() => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  for (const swim of started.splice(0)) swim.stop();
});

interface Started {
  readonly swim: Swim;
  readonly events: SwimEvent[];
  /** Settles when an event of the kind has come. */
  readonly until: (kind: SwimEvent["kind"]) => Promise<SwimEvent>;
}

function start(nodeId: number, seeds: readonly SwimAddress[], limits: SwimLimits = {}): Started {
  const events: SwimEvent[] = [];
  const waiting: (() => void)[] = [];
  const swim = startSwim(
    {
      nodeId,
      incarnationId: `AAAAAAAAAAAAAAAAAAAA${nodeId}Q`,
      clusterId: "cluster",
      secret: "secret",
      bind: { host: "127.0.0.1", port: 0 },
      advertised: { host: "", port: 0 },
      seeds,
      profile: "default",
      diskProbeDirectory: null,
      onEvents: () => {
        events.push(...swim.drainEvents());
        for (const wake of waiting.splice(0)) wake();
      },
    },
    nodeId,
    { eventLoopLimitMs: 60_000, ...limits },
  );
  started.push(swim);
  const until = async (kind: SwimEvent["kind"]): Promise<SwimEvent> => {
    for (;;) {
      const found = events.find((event) => event.kind === kind);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  // The callback of the addon keeps no event loop alive.
  timers.push(setInterval(() => swim.beat(), 50));
  return { swim, events, until };
}

test("two nodes see each other, and one says good-bye", async () => {
  const first = start(1, []);
  const second = start(2, [first.swim.address]);
  expect(await first.until("alive")).toMatchObject({
    nodeId: 2,
    incarnationId: "AAAAAAAAAAAAAAAAAAAA2Q",
    address: second.swim.address,
    reason: null,
  });
  await second.until("alive");
  expect(second.swim.members()).toMatchObject([{ nodeId: 1 }]);
  await second.swim.leave();
  expect(await first.until("left")).toMatchObject({ nodeId: 2, reason: "left" });
  expect(second.swim.statistics().state).toBe("left");
  second.swim.stop();
  expect(second.swim.statistics().state).toBe("stopped");
  expect(second.swim.members()).toEqual([]);
}, 60_000);

test("a stuck disk is not vouched for", async () => {
  const first = start(1, []);
  const second = start(2, [first.swim.address], { diskLimitMs: 200 });
  await first.until("alive");
  second.swim.diskBeat();
  expect(await first.until("left")).toMatchObject({ nodeId: 2, reason: "unhealthy" });
  expect(second.swim.statistics()).toMatchObject({ state: "unhealthy", unhealthyReason: "disk" });
}, 60_000);

test("what the addon refuses has a code", () => {
  const { swim } = start(1, []);
  const codeOf = (run: () => void): string | null => {
    try {
      run();
      return null;
    } catch (error) {
      return error instanceof SwimError ? error.code : "another error";
    }
  };
  expect(codeOf(() => swim.updateSeeds([{ host: "a.name", port: 1 }]))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => start(-2, []))).toBe("INVALID_ARGUMENT");
});

test("the port is the controller listener's unless another is set", () => {
  const settings = { sluiceSwimProfile: "fast", sluiceSwimPort: 0 } as const;
  expect(swimSettings(settings, 9093)).toEqual({ profile: "fast", port: 9093 });
  expect(swimSettings({ ...settings, sluiceSwimPort: 7 }, 9093).port).toBe(7);
});
