/** Ids that nodes make from their quorum: the same on all of them, and of the form that Kafka's tools take. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivedClusterId, storedClusterId } from "#cluster/cluster-id.ts";
import { isUuid } from "#common/uuid.ts";

test("an id depends on the quorum alone", () => {
  const quorum = "1@a:9093,2@b:9093,3@c:9093";
  expect(derivedClusterId(quorum)).toBe(derivedClusterId(quorum));
  expect(derivedClusterId(quorum)).not.toBe(derivedClusterId(`${quorum},4@d:9093`));
  for (let port = 1; port < 200; port += 1) {
    const id = derivedClusterId(`1@a:${port}`);
    expect([isUuid(id), id.startsWith("-")]).toEqual([true, false]);
  }
});

test("a directory's id goes before", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-id-"));
  try {
    expect(await storedClusterId([directory])).toBeNull();
    const lines = ["#Mon Nov 23", "node.id=1", "version=1", "cluster.id=abcdefghijklmnopqrstuA"];
    writeFileSync(join(directory, "meta.properties"), `${lines.join("\n")}\n`);
    expect(await storedClusterId([join(directory, "none"), directory])).toBe(
      "abcdefghijklmnopqrstuA",
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
