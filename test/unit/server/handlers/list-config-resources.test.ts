/** ListConfigResources as Kafka 4.4.0 answers it: types, their order, and who is listed. */
import { expect, test } from "bun:test";
import { makeListConfigResourcesRequest } from "#protocol/generated/list-config-resources.ts";
import type { ListConfigResourcesResponse } from "#protocol/generated/list-config-resources.ts";
import { createListConfigResourcesHandler } from "#server/handlers/list-config-resources.ts";
import { contextOf, startCluster } from "../../controller/cluster-fixture.ts";

async function list(apiVersion: number, resourceTypes: number[]): Promise<string[] | number> {
  const cluster = await startCluster();
  await cluster.createTopic("t");
  const changes = (
    name: string,
    value: string,
  ): { name: string; operation: number; value: string }[] => [{ name, operation: 0, value }];
  await cluster.controller.changeConfigs(
    [
      {
        resourceType: 32,
        resourceName: "g",
        replacesAll: false,
        changes: changes("consumer.session.timeout.ms", "50000"),
      },
      { resourceType: 16, resourceName: "s", replacesAll: false, changes: changes("metrics", "*") },
      {
        resourceType: 4,
        resourceName: "",
        replacesAll: false,
        changes: changes("log.retention.ms", "1"),
      },
    ],
    false,
  );
  const handler = createListConfigResourcesHandler({ image: () => cluster.controller.image });
  const answer = (await handler.handle(
    makeListConfigResourcesRequest({ resourceTypes }),
    contextOf(apiVersion),
  )) as ListConfigResourcesResponse;
  if (answer.errorCode !== 0) return answer.errorCode;
  return answer.configResources.map(
    ({ resourceType, resourceName }) => `${resourceType}:${resourceName}`,
  );
}

test.each<[number, number[], string[] | number]>([
  [0, [], ["16:s"]],
  [1, [], ["32:g", "16:s", "8:1", "4:1", "2:t"]],
  [1, [2, 2, 32], ["32:g", "2:t"]],
  [1, [4, 2, 77], 35],
  [1, [0], 35],
])("v%i of types %p", async (version, types, expected) => {
  expect(await list(version, types)).toEqual(expected);
});
