/** Process-wide locks of the addon are few, and each is accounted for where scaling is described. */
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const declaration =
  /^(?:pub(?:\([a-z]+\))? )?static ([A-Z_]+): *(?:SlotTable|RwLock|Mutex|OnceLock|LazyLock)\b/gm;

test("every process-wide lock of native/crates is named in docs/internals/scaling.md", async () => {
  const found: string[] = [];
  for await (const path of new Glob("native/crates/*/src/**/*.rs").scan(root)) {
    const text = await Bun.file(join(root, path)).text();
    for (const [, name] of text.matchAll(declaration)) found.push(name ?? "");
  }
  const page = await Bun.file(join(root, "docs/internals/scaling.md")).text();
  const named = [...page.matchAll(/^\| `([A-Z_]+)` /gm)].map(([, name]) => name ?? "");
  expect([...new Set(found)].toSorted()).toEqual(named.toSorted());
});
