/**
 * The repository's own rules, as tests: imports point down the layer table, pure folders stay pure, the addon is reached from three
 * files, every file opens with its idea, and the documents name files and functions that exist. Each rule is a function over
 * `{ path, text }`, so that the second half of this file can plant a violation and see it caught.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What each folder of src/ may import besides itself, `common` and `config` (docs: ARCHITECTURE.md, "Layers"). */
const layers: Readonly<Record<string, readonly string[] | "everything">> = {
  common: [],
  config: [],
  protocol: [],
  quorum: ["protocol"],
  membership: [],
  log: ["protocol"],
  transport: [],
  metadata: ["protocol", "quorum"],
  security: ["protocol", "metadata"],
  quota: ["metadata"],
  client: ["protocol", "transport", "security"],
  controller: ["protocol", "quorum", "metadata", "membership", "security"],
  replica: ["protocol", "log", "metadata", "quota", "client"],
  coordinator: ["protocol", "metadata", "client"],
  server: [
    "protocol",
    "transport",
    "metadata",
    "security",
    "quota",
    "client",
    "controller",
    "replica",
    "coordinator",
  ],
  cluster: [
    "protocol",
    "transport",
    "metadata",
    "quorum",
    "membership",
    "client",
    "controller",
    "log",
    "replica",
    "coordinator",
    "server",
  ],
  metrics: ["protocol", "log", "transport", "replica", "coordinator", "server"],
  admin: ["metadata", "security", "quota"],
  broker: "everything",
  // The benchmark is no part of src/; its command alone reaches it.
  cli: ["client", "broker", "protocol", "log", "bench"],
};

const pureFolders: ReadonlySet<string> = new Set([
  "protocol",
  "quorum",
  "membership",
  "metadata",
  "coordinator",
  "controller",
]);
const addonImporters: ReadonlySet<string> = new Set([
  "src/log/native-log.ts",
  "src/quorum/raft-node.ts",
  "src/transport/fast-lane.ts",
  "src/transport/sendfile.ts",
  "src/coordinator/group/consumer/topic-pattern.ts",
  "src/membership/native-swim.ts",
  "src/membership/swim-core.ts",
]);

/** Import specifiers of value and type imports, static and dynamic, read from the text. */
function importsOf(file: SourceFile): string[] {
  const found: string[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s*["']([^"']+)["']/g;
  for (const match of file.text.matchAll(pattern))
    found.push(match[1] ?? match[2] ?? match[3] ?? "");
  return found;
}

const folderOf = (path: string): string => path.split("/")[1] ?? "";
const isDriver = (path: string): boolean =>
  path.endsWith("-driver.ts") || path.startsWith("src/protocol/generator/");

function layerViolations(file: SourceFile): string[] {
  const folder = folderOf(file.path);
  if (folder.endsWith(".ts")) return [];
  const allowed = layers[folder];
  if (allowed === undefined)
    return [`${file.path}: folder ${folder} has no row in the layer table`];
  const violations: string[] = [];
  for (const specifier of importsOf(file)) {
    // The generator's templates hold import lines of files elsewhere.
    const isTemplate = file.path.startsWith("src/protocol/generator/");
    if (
      !isTemplate &&
      specifier.startsWith("../") &&
      specifier.split("../").length - 1 >= file.path.split("/").length - 2
    ) {
      violations.push(`${file.path}: ${specifier} leaves its folder without #`);
    }
    if (!specifier.startsWith("#")) continue;
    const target = specifier.slice(1).split("/")[0] ?? "";
    if (target === "native" || target === folder || target === "common" || target === "config")
      continue;
    if (allowed !== "everything" && !allowed.includes(target))
      violations.push(`${file.path}: ${folder} may not import ${target}`);
  }
  return violations;
}

/** Common and config hold the base: they import nothing above (config may use common). */
function baseViolations(file: SourceFile): string[] {
  const folder = folderOf(file.path);
  if (folder !== "common") return [];
  return importsOf(file)
    .filter((specifier) => specifier.startsWith("#config"))
    .map((specifier) => `${file.path}: common may not import ${specifier}`);
}

function purityViolations(file: SourceFile): string[] {
  if (!pureFolders.has(folderOf(file.path)) || isDriver(file.path)) return [];
  const violations = importsOf(file)
    .filter(
      (specifier) =>
        specifier === "bun" || specifier.startsWith("bun:") || specifier.startsWith("node:"),
    )
    .map((specifier) => `${file.path}: imports ${specifier}`);
  const code = file.text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/\/\/[^\n]*/g, "");
  for (const banned of [
    /\bsetTimeout\(/,
    /\bsetInterval\(/,
    /\bDate\.now\(/,
    /\bnew Date\(\)/,
    /\bMath\.random\(/,
    /\bperformance\.now\(/,
    /\bBun\./,
    /\bprocess\./,
  ]) {
    if (banned.test(code)) violations.push(`${file.path}: uses ${banned.source}`);
  }
  return violations;
}

function addonViolations(file: SourceFile): string[] {
  if (addonImporters.has(file.path)) return [];
  return importsOf(file).includes("#native")
    ? [`${file.path}: only ${[...addonImporters].join(" and ")} may import #native`]
    : [];
}

function openingViolations(file: SourceFile): string[] {
  const text = file.text.replace(/^#![^\n]*\n/, "").trimStart();
  return text.startsWith("/**") || text.startsWith("//") || text.startsWith("/*")
    ? []
    : [`${file.path}: does not open with its idea`];
}

function textViolations(file: SourceFile): string[] {
  const violations: string[] = [];
  if (/(^|[^A-Za-z0-9_.])\/(work|farm)\/|\/tmp\/k\//.test(file.text))
    violations.push(`${file.path}: names a path of one machine`);
  if (
    /registry\.npmjs\.org|static\.crates\.io|index\.crates\.io|files\.pythonhosted|proxy\.golang\.org|repo1?\.maven/.test(
      file.text,
    )
  ) {
    violations.push(`${file.path}: names a package registry`);
  }
  return violations;
}

/** `src/a/b.ts` and `file.rs:function` mentions of a document must exist. */
function documentViolations(file: SourceFile): string[] {
  const violations: string[] = [];
  for (const match of file.text.matchAll(
    /`((?:src|native|bench|test|scripts|docs)\/[\w./-]+\.(?:ts|rs|mjs|md|sh))(?::(\w+))?`/g,
  )) {
    const target = join(root, match[1] ?? "");
    if (!existsSync(target)) violations.push(`${file.path}: ${match[1]} does not exist`);
    else if (
      match[2] !== undefined &&
      !new RegExp(`\\b${match[2]}\\b`).test(readFileSync(target, "utf8"))
    ) {
      violations.push(`${file.path}: ${match[1]} has no ${match[2]}`);
    }
  }
  return violations;
}

async function tracked(...patterns: string[]): Promise<SourceFile[]> {
  const listing = await Bun.$`git -C ${root} ls-files -- ${patterns}`.quiet().text();
  return listing
    .split("\n")
    .filter((path) => path !== "" && existsSync(join(root, path)))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

const sources = await tracked("src/*.ts", "src/**/*.ts");
const written = sources.filter((file) => !file.path.includes("/generated/"));

describe("the tree", () => {
  test("imports point down the layer table", () => {
    expect(sources.flatMap((file) => [...layerViolations(file), ...baseViolations(file)])).toEqual(
      [],
    );
  });
  test("pure folders use no clock, timer, chance or runtime", () => {
    expect(written.flatMap(purityViolations)).toEqual([]);
  });
  test("the addon is reached from the files named for it", () => {
    expect(sources.flatMap(addonViolations)).toEqual([]);
  });
  test("every file opens with its idea", () => {
    expect(written.flatMap(openingViolations)).toEqual([]);
  });
  test("no machine paths, no registries", async () => {
    const files = await tracked(
      "*.ts",
      "*.rs",
      "*.md",
      "*.json",
      "*.toml",
      "*.sh",
      "*.mjs",
      "*.py",
      "*.go",
      "*.java",
      "*.xml",
    );
    expect(
      files.filter((file) => file.path !== "test/tidy.test.ts").flatMap(textViolations),
    ).toEqual([]);
  });
  test("documents name files and functions that exist", async () => {
    const documents = await tracked("*.md");
    expect(documents.flatMap(documentViolations)).toEqual([]);
  });
  test("a Markdown document has one title", async () => {
    const documents = await tracked("*.md");
    const wrong = documents.filter(
      (file) => file.text.replaceAll(/```[\s\S]*?```/g, "").match(/^# /gm)?.length !== 1,
    );
    expect(wrong.map((file) => file.path)).toEqual([]);
  });
});

describe("the rules can fail", () => {
  const plant = (path: string, text: string): SourceFile => ({ path, text });
  test("layer, purity, addon, opening, text, document", () => {
    expect(
      layerViolations(plant("src/protocol/x.ts", 'import type { A } from "#server/a.ts";')).length,
    ).toBe(1);
    expect(layerViolations(plant("src/newcomer/x.ts", "")).length).toBe(1);
    expect(
      layerViolations(plant("src/log/x.ts", 'import { a } from "../server/a.ts";')).length,
    ).toBe(1);
    expect(
      baseViolations(plant("src/common/x.ts", 'import { a } from "#config/a.ts";')).length,
    ).toBe(1);
    expect(purityViolations(plant("src/coordinator/x.ts", "const t = Date.now();")).length).toBe(1);
    expect(
      purityViolations(plant("src/metadata/x.ts", 'import { a } from "node:fs";')).length,
    ).toBe(1);
    expect(addonViolations(plant("src/server/x.ts", 'import { a } from "#native";')).length).toBe(
      1,
    );
    expect(openingViolations(plant("src/log/x.ts", "export const a = 1;")).length).toBe(1);
    expect(textViolations(plant("README.md", ["see /wor", "k/main"].join(""))).length).toBe(1);
    expect(documentViolations(plant("README.md", "`src/none.ts`")).length).toBe(1);
  });
});
