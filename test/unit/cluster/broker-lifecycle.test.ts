/** The life of a broker: what it sends when, and what it makes of the answers. */
import { describe, expect, test } from "bun:test";
import { BrokerLifecycle } from "#cluster/broker-lifecycle.ts";

const OK = { errorCode: 0, isFenced: false, shouldShutDown: false };
const FENCED = { ...OK, isFenced: true };
const STALE_BROKER_EPOCH = 77;
const DUPLICATE_BROKER_REGISTRATION = 101;

function born(closedBrokerEpoch = -1): BrokerLifecycle {
  return new BrokerLifecycle({
    closedBrokerEpoch,
    registrationTimeoutMs: 60_000,
    heartbeatIntervalMs: 500,
    leaveTimeoutMs: 8_000,
  });
}

/** A broker that serves since time 0. */
function serving(): BrokerLifecycle {
  const life = born();
  life.next(0);
  life.onRegistered(0, 7, 0);
  life.onCaughtUp(0);
  life.next(0);
  life.onHeartbeat(OK, 0);
  return life;
}

describe("BrokerLifecycle", () => {
  test("registers, catches up fenced, waits, serves", () => {
    const life = born();
    expect(life.next(0)).toEqual({ kind: "register", previousBrokerEpoch: -1 });
    expect(life.next(0).kind).toBe("wait");
    life.onRegistered(DUPLICATE_BROKER_REGISTRATION, -1, 0);
    expect(life.next(0)).toEqual({ kind: "wait", untilMs: 50 });
    expect(life.next(50).kind).toBe("register");
    life.onRegistered(0, 7, 60);
    const beat = { kind: "heartbeat", brokerEpoch: 7, wantShutDown: false };
    expect(life.next(60)).toEqual({ ...beat, wantFence: true } as never);
    life.onHeartbeat(FENCED, 61);
    life.onCaughtUp(62);
    expect(life.next(62)).toEqual({ ...beat, wantFence: false } as never);
    life.onHeartbeat(FENCED, 63);
    expect([life.phase, life.next(63)]).toEqual(["waiting", { kind: "wait", untilMs: 113 }]);
    life.next(113);
    life.onHeartbeat(OK, 114);
    expect(life.phase).toBe("serving");
    expect(life.next(114)).toEqual({ kind: "wait", untilMs: 614 });
  });

  test("tells which life closed in order, until it has one of its own", () => {
    const life = born(42);
    expect(life.next(0)).toEqual({ kind: "register", previousBrokerEpoch: 42 });
    life.onUnanswered(10);
    expect(life.next(60)).toEqual({ kind: "register", previousBrokerEpoch: 42 });
    life.onRegistered(0, 50, 60);
    life.next(60);
    life.onHeartbeat({ ...OK, errorCode: STALE_BROKER_EPOCH }, 60);
    expect(life.next(60)).toEqual({ kind: "register", previousBrokerEpoch: 50 });
  });

  test("has some time to register for the first time, and no limit after that", () => {
    const life = born();
    expect(life.isOverdue(90_000)).toBe(false);
    life.next(1_000);
    life.onRegistered(DUPLICATE_BROKER_REGISTRATION, -1, 1_000);
    expect([life.isOverdue(60_999), life.isOverdue(61_000)]).toEqual([false, true]);
    life.next(61_000);
    life.onRegistered(0, 7, 61_001);
    expect(life.isOverdue(200_000)).toBe(false);
  });

  test("a broker fenced by mistake asks again, soon", () => {
    const life = serving();
    life.next(500);
    life.onHeartbeat(FENCED, 500);
    expect(life.next(500)).toEqual({ kind: "wait", untilMs: 550 });
    expect(life.next(550)).toMatchObject({ kind: "heartbeat", wantFence: false });
  });

  test("without room it asks to be fenced, and to serve again once there is some", () => {
    const life = serving();
    life.hasRoom = false;
    expect(life.next(500)).toMatchObject({ kind: "heartbeat", wantFence: true });
    life.onHeartbeat(FENCED, 500);
    expect(life.next(500)).toEqual({ kind: "wait", untilMs: 1_000 });
    life.hasRoom = true;
    expect(life.next(1_000)).toMatchObject({ kind: "heartbeat", wantFence: false });
  });

  test("a stale epoch: it registers again, and need not catch up", () => {
    const life = serving();
    life.next(500);
    life.onHeartbeat({ ...OK, errorCode: STALE_BROKER_EPOCH }, 500);
    expect(life.next(500)).toEqual({ kind: "register", previousBrokerEpoch: 7 });
    life.onRegistered(0, 20, 501);
    expect([life.phase, life.brokerEpoch]).toEqual(["waiting", 20]);
  });

  test("a stale epoch just before it has caught up: it asks to serve once it is registered again", () => {
    const life = born();
    life.next(0);
    life.onRegistered(0, 7, 0);
    life.next(0);
    life.onHeartbeat({ ...OK, errorCode: STALE_BROKER_EPOCH }, 1);
    life.onCaughtUp(2);
    expect(life.next(2)).toEqual({ kind: "register", previousBrokerEpoch: 7 });
    life.onRegistered(0, 20, 3);
    expect(life.next(3)).toMatchObject({ kind: "heartbeat", brokerEpoch: 20, wantFence: false });
  });

  test("no answer: it tries again, and stays what it was", () => {
    const life = serving();
    life.next(500);
    life.onUnanswered(2_500);
    expect([life.phase, life.next(2_549), life.next(2_550).kind]).toEqual([
      "serving",
      { kind: "wait", untilMs: 2_550 },
      "heartbeat",
    ]);
  });

  test("leaves: what it leads moves, then it may go", () => {
    const life = serving();
    life.leave(100);
    expect(life.next(100)).toMatchObject({ kind: "heartbeat", wantShutDown: true });
    life.onHeartbeat(OK, 101);
    expect(life.next(151)).toMatchObject({ kind: "heartbeat", wantShutDown: true });
    life.onHeartbeat({ ...FENCED, shouldShutDown: true }, 152);
    expect(life.next(152)).toEqual({ kind: "done" });
  });

  test("leaves without leave when nobody answers for long enough", () => {
    const life = serving();
    life.leave(100);
    life.next(100);
    life.onUnanswered(1_100);
    expect(life.next(1_150).kind).toBe("heartbeat");
    life.onUnanswered(2_150);
    expect([life.phase, life.next(2_150).kind]).toEqual(["gone", "done"]);
  });

  test("a broker that was never registered goes at once", () => {
    const life = born();
    life.next(0);
    life.leave(1);
    expect(life.next(1)).toEqual({ kind: "done" });
    life.onRegistered(0, 7, 2);
    expect(life.phase).toBe("gone");
  });
});
