/** What a broker tells the controller of its log directories, and when. */
import { expect, test } from "bun:test";
import { BrokerLifecycle } from "#cluster/broker-lifecycle.ts";
import { ControllerUnavailableError } from "#cluster/controller-channel.ts";
import { LifecycleDriver, type LifecycleDriverOptions } from "#cluster/lifecycle-driver.ts";
import { ErrorCode } from "#common/error-code.ts";
import {
  type BrokerHeartbeatRequest,
  makeBrokerHeartbeatResponse,
} from "#protocol/generated/broker-heartbeat.ts";
import {
  makeBrokerRegistrationRequest,
  makeBrokerRegistrationResponse,
} from "#protocol/generated/broker-registration.ts";
import { ManualTime } from "../../support/manual-time.ts";

const INTERVAL_MS = 500;

/** A broker beside a controller that lets it do whatever it wants; `away` while there is none. */
function driven() {
  const time = new ManualTime(0);
  const lifecycle = new BrokerLifecycle({
    closedBrokerEpoch: -1,
    registrationTimeoutMs: 60_000,
    heartbeatIntervalMs: INTERVAL_MS,
    leaveTimeoutMs: 8_000,
  });
  const world = {
    time,
    lifecycle,
    cordoned: [] as readonly string[] | null,
    isAway: false,
    versions: new Set<number>(),
    beats: [] as BrokerHeartbeatRequest[],
    /** Cordoned directories of the heartbeats since the last question. */
    told(): (string[] | null)[] {
      return world.beats.splice(0).map(({ cordonedLogDirs }) => cordonedLogDirs);
    },
    async settle(): Promise<void> {
      for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    },
    async pass(ms: number): Promise<void> {
      await world.settle();
      for (let at = 0; at < ms; at += 10) {
        time.advance(10);
        await world.settle();
      }
    },
  };
  const answer = (version: number, request: unknown): unknown => {
    if (request !== null && typeof request === "object" && "wantFence" in request) {
      world.versions.add(version);
      world.beats.push(request as BrokerHeartbeatRequest);
      if (world.isAway) throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, "away");
      return makeBrokerHeartbeatResponse({ isFenced: request.wantFence === true });
    }
    return makeBrokerRegistrationResponse({ brokerEpoch: 7 });
  };
  const channel: LifecycleDriverOptions["channel"] = {
    send: (_, version, request) =>
      new Promise((resolve) => resolve(answer(version, request) as never)),
  };
  const driver = new LifecycleDriver({
    lifecycle,
    channel,
    clock: time,
    scheduler: time,
    registration: makeBrokerRegistrationRequest({ brokerId: 3 }),
    metadataOffset: () => 0,
    offlineLogDirs: () => [],
    cordonedLogDirs: () => world.cordoned,
    hasRoom: () => true,
    onChange: () => {},
    onRefused: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  return { ...world, world, driver };
}

test("directories are told once the broker knows its configuration, with every heartbeat", async () => {
  const { world, driver, lifecycle, time } = driven();
  world.cordoned = ["A"];
  driver.wake();
  await world.settle();
  expect([lifecycle.phase, world.told()]).toEqual(["catching-up", [null]]);
  lifecycle.onCaughtUp(time.monotonicMs());
  driver.wake();
  await world.pass(2 * INTERVAL_MS);
  expect([lifecycle.phase, world.told()]).toEqual(["serving", [["A"], ["A"], ["A"]]]);
  expect([...world.versions]).toEqual([2]);
});

/** A broker that is in service, and whose heartbeats so far were looked at. */
async function serving(): Promise<ReturnType<typeof driven>> {
  const all = driven();
  const { world, driver, lifecycle, time } = all;
  driver.wake();
  await world.settle();
  lifecycle.onCaughtUp(time.monotonicMs());
  driver.wake();
  await world.settle();
  world.told();
  return all;
}

test("a change is told at once, one that comes while a heartbeat is under way right after it", async () => {
  const { world, driver } = await serving();
  world.cordoned = ["A", "B"];
  driver.wake();
  world.cordoned = ["B"];
  driver.wake();
  await world.settle();
  expect(world.told()).toEqual([["A", "B"], ["B"]]);
  driver.wake();
  await world.settle();
  expect(world.told()).toEqual([]);
  await world.pass(INTERVAL_MS);
  expect(world.told()).toEqual([["B"]]);
});

test("without a controller a change is told again and again, with a pause between", async () => {
  const { world, driver } = await serving();
  world.isAway = true;
  world.cordoned = ["A"];
  driver.wake();
  await world.pass(100);
  expect(world.told()).toEqual([["A"], ["A"], ["A"]]);
});

test("nothing is told where the cluster has no place for it", async () => {
  const { world, driver, lifecycle, time } = driven();
  world.cordoned = null;
  driver.wake();
  await world.settle();
  lifecycle.onCaughtUp(time.monotonicMs());
  driver.wake();
  await world.pass(INTERVAL_MS);
  expect(world.told()).toEqual([null, null, null]);
});
