/**
 * Everything that is compared with real Kafka, one after another: the corpus of bad bytes, the requests about data at every version, and
 * the conversations about groups.
 *
 *   bun test/differential/main.ts --reference HOST:PORT --bootstrap HOST:PORT
 *
 * Exits with 1 when one of them found an unexpected difference.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { reference: { type: "string" }, bootstrap: { type: "string" } },
});
const { reference, bootstrap } = values;
if (reference === undefined || bootstrap === undefined) {
  console.error("usage: bun test/differential/main.ts --reference HOST:PORT --bootstrap HOST:PORT");
  process.exit(2);
}
let hasFailed = false;
for (const part of ["corpus.ts", "data.ts", "groups.ts"]) {
  console.log(`== ${part}`);
  const command = [process.execPath, join(import.meta.dirname, part)];
  const child = Bun.spawn([...command, "--reference", reference, "--bootstrap", bootstrap], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if ((await child.exited) !== 0) hasFailed = true;
}
process.exit(hasFailed ? 1 : 0);
