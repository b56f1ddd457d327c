/** A coordinator that stops answers everybody who waits. */
import { expect, test } from "bun:test";
import { ConsumerGroupContext } from "../../../../support/consumer-group-context.ts";

test("a classic member that waits for its JoinGroup in a consumer group to be written", async () => {
  const group = await ConsumerGroupContext.start();
  group.setTopic("orders", 2);
  await group.beat("a");
  group.log.hold();
  void group.classicJoin("c");
  await group.settle();
  expect(group.takeEvents()).toEqual(["a epoch 2: orders-0 orders-1"]);
  group.coordinator.stop();
  await group.settle();
  expect(group.takeEvents()).toEqual(["c joins: NOT_COORDINATOR"]);
});
