/** Whose cluster a directory says it belongs to. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storedClusterId } from "#cluster/cluster-id.ts";

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
