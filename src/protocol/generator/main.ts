/**
 * The generator's entry. It runs by hand, never in the broker.
 *
 * ```
 * bun src/protocol/generator/main.ts                         schemas → TypeScript
 * bun src/protocol/generator/main.ts --check                 the same into memory; exit 1 when a committed file differs
 * bun src/protocol/generator/main.ts --jars DIR[,DIR…]       jars → schemas → TypeScript
 * bun src/protocol/generator/main.ts --errors FILE           error codes printed by test/golden/java → schema
 * ```
 *
 * Among the jars, `kafka-clients-3.9.1.jar` is taken for the predecessor whose dropped versions are kept; all other
 * Kafka jars must be of one version.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Descriptor, extractApis, extractRecords, parseDescriptor } from "./extract.ts";
import { generateAll } from "./generate.ts";
import { readJar } from "./jar.ts";
import { type ApiSchema, kebabCase, type RecordSchema } from "./schema.ts";

const PROTOCOL = join(import.meta.dirname, "..");
const ROOT = join(PROTOCOL, "../..");
const SCHEMA = join(PROTOCOL, "schema");
const PREDECESSOR = "kafka-clients-3.9.1.jar";

function main(args: readonly string[]): number {
  const jars = optionOf(args, "--jars");
  if (jars !== null) extract(jars.split(","));
  const errors = optionOf(args, "--errors");
  if (errors !== null)
    writeFileSync(join(SCHEMA, "error-codes.json"), compactErrors(readFileSync(errors, "utf8")));
  const files = generateAll(readSchemas());
  const formatted = format(files);
  return args.includes("--check") ? check(formatted) : write(formatted);
}

function optionOf(args: readonly string[], name: string): string | null {
  const at = args.indexOf(name);
  return at < 0 ? null : (args[at + 1] ?? null);
}

/** Jars → `schema/`. */
function extract(directories: readonly string[]): void {
  const current = new Map<string, Descriptor>();
  const predecessors = new Map<string, Descriptor>();
  for (const directory of directories) {
    for (const file of readdirSync(directory).sort()) {
      if (!/^kafka.*\.jar$/.test(file)) continue;
      const into = file === PREDECESSOR ? predecessors : current;
      const texts = readJar(join(directory, file), (name) =>
        /^(common\/)?(message|metadata)\/\w+\.json$/.test(name),
      );
      for (const [name, text] of texts) into.set(basename(name, ".json"), parseDescriptor(text));
    }
  }
  if (predecessors.size === 0) throw new Error(`${PREDECESSOR} is not among the jars`);
  const texts = new Map<string, string>();
  const add = (path: string, schema: unknown): void => {
    texts.set(`src/protocol/schema/${path}.json`, JSON.stringify(schema));
  };
  for (const api of extractApis(current, predecessors)) add(kebabCase(api.name), api);
  for (const record of extractRecords(current)) add(`records/${kebabCase(record.name)}`, record);
  for (const file of readdirSync(SCHEMA)) {
    if (file.endsWith(".json") && file !== "error-codes.json") rmSync(join(SCHEMA, file));
  }
  rmSync(join(SCHEMA, "records"), { recursive: true, force: true });
  mkdirSync(join(SCHEMA, "records"), { recursive: true });
  for (const [path, text] of format(texts)) writeFileSync(join(ROOT, path), text);
}

/** Keeps names, codes and retriability; descriptions are ours (`error-texts.ts`). */
function compactErrors(text: string): string {
  return `${JSON.stringify(JSON.parse(text), null, 2)}\n`;
}

function readSchemas(): Parameters<typeof generateAll>[0] {
  const readAll = (directory: string): unknown[] =>
    readdirSync(directory)
      .filter((file) => file.endsWith(".json") && file !== "error-codes.json")
      .sort()
      .map((file) => JSON.parse(readFileSync(join(directory, file), "utf8")) as unknown);
  return {
    apis: (readAll(SCHEMA) as ApiSchema[]).sort((one, other) => one.apiKey - other.apiKey),
    records: readAll(join(SCHEMA, "records")) as RecordSchema[],
    errors: JSON.parse(readFileSync(join(SCHEMA, "error-codes.json"), "utf8")),
  };
}

/** Runs the project's formatter over the texts, in a scratch folder inside the project so that its settings apply. */
function format(files: ReadonlyMap<string, string>): Map<string, string> {
  const scratch = join(ROOT, `generated-scratch-${process.pid}`);
  try {
    for (const [path, text] of files) {
      const at = join(scratch, path);
      mkdirSync(join(at, ".."), { recursive: true });
      writeFileSync(at, text);
    }
    const run = Bun.spawnSync(
      [
        process.execPath,
        "fmt",
        "--no-script",
        ...[...files.keys()].map((path) => join(scratch, path)),
      ],
      {
        cwd: ROOT,
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    if (run.exitCode !== 0)
      throw new Error(`formatting failed: ${run.stderr.toString()}${run.stdout.toString()}`);
    const formatted = new Map<string, string>();
    for (const path of files.keys()) formatted.set(path, readFileSync(join(scratch, path), "utf8"));
    return formatted;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function write(files: ReadonlyMap<string, string>): number {
  for (const directory of ["src/protocol/generated", "src/protocol/generated/records"]) {
    mkdirSync(join(ROOT, directory), { recursive: true });
    for (const file of readdirSync(join(ROOT, directory))) {
      if (file.endsWith(".ts") && !files.has(`${directory}/${file}`))
        rmSync(join(ROOT, directory, file));
    }
  }
  let changed = 0;
  for (const [path, text] of files) {
    const at = join(ROOT, path);
    if (existsSync(at) && readFileSync(at, "utf8") === text) continue;
    mkdirSync(join(at, ".."), { recursive: true });
    writeFileSync(at, text);
    changed += 1;
  }
  console.log(`${files.size} files generated, ${changed} changed`);
  return 0;
}

function check(files: ReadonlyMap<string, string>): number {
  const stale: string[] = [];
  for (const [path, text] of files) {
    const at = join(ROOT, path);
    if (!existsSync(at) || readFileSync(at, "utf8") !== text) stale.push(path);
  }
  for (const directory of ["src/protocol/generated", "src/protocol/generated/records"]) {
    for (const file of readdirSync(join(ROOT, directory))) {
      if (file.endsWith(".ts") && !files.has(`${directory}/${file}`))
        stale.push(`${directory}/${file}`);
    }
  }
  for (const path of stale) console.error(`stale: ${path}`);
  console.log(
    stale.length === 0
      ? `${files.size} generated files are fresh`
      : "run: bun src/protocol/generator/main.ts",
  );
  return stale.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(main(process.argv.slice(2)));
