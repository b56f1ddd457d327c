/** Who checks a change of configurations on a broker of a cluster, and who makes it. */
import { expect, test } from "bun:test";
import { ConfigRouter } from "#broker/config-router.ts";
import { ControllerUnavailableError } from "#cluster/controller-channel.ts";
import type { ResourceChange } from "#controller/config-values.ts";
import { ResourceType } from "#metadata/cluster-image.ts";
import { startCluster } from "../controller/cluster-fixture.ts";

const SET = 0;

function cleanerThreads(resourceName: string, value: string): ResourceChange {
  const changes = [{ name: "log.cleaner.threads", operation: SET, value }];
  return { resourceType: ResourceType.BROKER, resourceName, changes, replacesAll: false };
}

test("a broker's values are checked beside its own configuration before the controller is asked", async () => {
  const { controller } = await startCluster({ config: { "log.cleaner.threads": "8" } });
  let askedCount = 0;
  const router = new ConfigRouter({
    nodeId: 1,
    own: controller,
    channel: {
      send: () => {
        askedCount += 1;
        return Promise.reject(new ControllerUnavailableError(41, "nobody decides"));
      },
    },
  });
  const change = async (name: string, value: string): Promise<unknown[]> => {
    const [outcome] = await router.changeConfigs([cleanerThreads(name, value)], false);
    return [outcome?.errorCode, outcome?.errorMessage, askedCount];
  };
  expect(await change("2", "16")).toEqual([
    42,
    "Unexpected broker id, expected 1, but received 2",
    0,
  ]);
  expect(await change("1", "17")).toEqual([
    42,
    expect.stringContaining("cannot be increased to more than double the current value 8"),
    0,
  ]);
  // Good enough for this broker; there is no controller to store it.
  expect(await change("1", "16")).toEqual([7, "nobody decides", 1]);
});
