/** Quotas are kept as they were set, found by every kind of filter, and survive a restart. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { QuotaChange } from "#controller/client-quotas.ts";
import { matchingQuotas } from "#metadata/client-quotas.ts";
import type { QuotaEntity, QuotaMatch } from "#metadata/client-quotas.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import { EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { imageRecords } from "#metadata/image-records.ts";
import { MemoryMetadataLog } from "#metadata/metadata-log.ts";
import { startCluster } from "./cluster-fixture.ts";

const user = (name: string | null): QuotaEntity => new Map([["user", name]]);
const rate = (entity: QuotaEntity, value: number | null): QuotaChange => ({
  entity,
  ops: [{ key: "producer_byte_rate", value }],
});

describe("AlterClientQuotas", () => {
  test("stores, changes and takes away, and a restart finds what is left", async () => {
    const log = new MemoryMetadataLog();
    const first = await startCluster({ log });
    await first.controller.changeClientQuotas([rate(user("a"), 1), rate(user(null), 2)], false);
    await first.controller.changeClientQuotas([rate(user("a"), 3)], false);
    await first.controller.changeClientQuotas([rate(user(null), null)], false);
    const again = await startCluster({ log });
    expect([...again.controller.image.clientQuotas.values()]).toEqual([
      { entity: user("a"), values: new Map([["producer_byte_rate", 3]]) },
    ]);
  });

  test("only checks with validateOnly, and writes nothing that is so already", async () => {
    const { controller } = await startCluster();
    const before = controller.image.offset;
    expect(await controller.changeClientQuotas([rate(user("a"), 1)], true)).toEqual([
      { entity: user("a"), errorCode: 0, errorMessage: null },
    ]);
    await controller.changeClientQuotas([rate(user("a"), null)], false);
    expect(controller.image.offset).toBe(before);
    await controller.changeClientQuotas([rate(user("a"), 1)], false);
    await controller.changeClientQuotas([rate(user("a"), 1)], false);
    expect(controller.image.offset).toBe(before + 1);
  });

  test("an entity with anything wrong keeps what it has; the others are changed", async () => {
    const { controller } = await startCluster();
    const both = { entity: user("a"), ops: [{ key: "producer_byte_rate", value: 1 }] };
    const wrong = {
      entity: user("b"),
      ops: [
        { key: "producer_byte_rate", value: 1 },
        { key: "consumer_byte_rate", value: -1 },
      ],
    };
    const outcomes = await controller.changeClientQuotas([both, wrong], false);
    expect(outcomes.map(({ errorCode }) => errorCode)).toEqual([0, 42]);
    expect(controller.image.clientQuotas.size).toBe(1);
  });

  test("an entity that is named twice is answered once and not touched", async () => {
    const { controller } = await startCluster();
    const reversed: QuotaEntity = new Map([
      ["client-id", "c"],
      ["user", "a"],
    ]);
    const straight: QuotaEntity = new Map([
      ["user", "a"],
      ["client-id", "c"],
    ]);
    const outcomes = await controller.changeClientQuotas(
      [rate(straight, 1), rate(reversed, 2)],
      false,
    );
    expect(outcomes).toEqual([
      {
        entity: straight,
        errorCode: 42,
        errorMessage: "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=c, user=a})",
      },
    ]);
    expect(controller.image.clientQuotas.size).toBe(0);
  });

  test("refuses more records than one request may make", async () => {
    const { controller } = await startCluster();
    const many = Array.from({ length: 10_001 }, (_, index) => rate(user(`u${index}`), 1));
    const outcomes = await controller.changeClientQuotas(many, false);
    expect(new Set(outcomes.map(({ errorCode }) => errorCode))).toEqual(new Set([44]));
    expect(controller.image.clientQuotas.size).toBe(0);
  });
});

describe("whatever is set", () => {
  const name = fc.option(fc.constantFrom("a", "b"), { nil: null });
  const entity = fc
    .record({ user: name, "client-id": name }, { requiredKeys: [] })
    .filter((each) => Object.keys(each).length > 0)
    .map((each): QuotaEntity => new Map(Object.entries(each)));
  const value = fc.option(fc.integer({ min: 1, max: 9 }), { nil: null });
  const key = fc.constantFrom("producer_byte_rate", "consumer_byte_rate");
  const changes = fc.array(fc.tuple(entity, key, value), { maxLength: 12 });
  const match = fc.oneof(
    fc.constant("any" as const),
    name.map((each): QuotaMatch => ({ name: each })),
  );
  const filter = fc
    .record({ user: match, "client-id": match }, { requiredKeys: [] })
    .map((each): ReadonlyMap<string, QuotaMatch> => new Map(Object.entries(each)));

  test("is what a list of the last values says, by every filter, and in a snapshot too", async () => {
    await fc.assert(
      fc.asyncProperty(changes, filter, fc.boolean(), async (steps, wanted, isStrict) => {
        const { controller } = await startCluster();
        const model = new Map<string, number>();
        for (const [each, quota, next] of steps) {
          const change = { entity: each, ops: [{ key: quota, value: next }] };
          const [outcome] = await controller.changeClientQuotas([change], false);
          expect(outcome?.errorCode).toBe(0);
          const row = JSON.stringify([
            each.get("user"),
            each.has("user"),
            each.get("client-id"),
            each.has("client-id"),
            quota,
          ]);
          if (next === null) model.delete(row);
          else model.set(row, next);
        }
        const delta = new ClusterDelta(EMPTY_IMAGE);
        for (const record of imageRecords(controller.image)) delta.replay(record);
        const { clientQuotas } = delta.apply(0, 0);
        expect(clientQuotas).toEqual(controller.image.clientQuotas);
        const matches = (type: string, has: boolean, is: string | null | undefined): boolean => {
          const asked = wanted.get(type);
          if (asked === undefined) return !(isStrict && has);
          return has && (asked === "any" || asked.name === is);
        };
        const expected = [...model]
          .filter(([row]) => {
            const [userName, hasUser, clientId, hasClient] = JSON.parse(row) as [
              string | null,
              boolean,
              string | null,
              boolean,
            ];
            return matches("user", hasUser, userName) && matches("client-id", hasClient, clientId);
          })
          .map(([, each]) => each);
        const found = [...matchingQuotas(clientQuotas, wanted, isStrict)].flatMap(({ values }) => [
          ...values.values(),
        ]);
        const rising = (left: number, right: number): number => left - right;
        expect(found.toSorted(rising)).toEqual(expected.toSorted(rising));
      }),
      { numRuns: 200 },
    );
  });
});
