/**
 * One entry for everything that is built: the native addon, the generated protocol code, the bundles.
 *
 *   bun build.ts addon [--debug] [--check]   native/binding.js, binding.d.ts and the .node beside them
 *   bun build.ts codegen                     src/protocol/generated, from the schemas beside it
 *   bun build.ts docs [--check]              docs/reference/configuration.md, from the table of keys in src/config
 *   bun build.ts bundle [log.js | …]         dist/log.js (Node and Bun), dist/main.js and its thread (Bun), or one of them
 *   bun build.ts all [--debug]               addon, codegen and bundle; the page is for authors, and a test says when it is stale
 *
 * Each step compares a hash of its inputs with the one it left in `.cache/build/` and does nothing when they agree, so a
 * second run takes milliseconds. `--check` builds nothing: it ends with 0 when the addon (or the page) is up to date and with 1 when not.
 * Cargo's output goes to `native/target`, or to CARGO_TARGET_DIR where that is set.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";

const root: string = import.meta.dir;
const isTerminal: boolean = process.stderr.isTTY;

/** Ends the build with one clear message and, where known, the way out. */
class BuildError extends Error {
  override readonly name = "BuildError";
  readonly remedy: string | null;

  constructor(message: string, remedy: string | null = null) {
    super(message);
    this.remedy = remedy;
  }
}

function say(text: string): void {
  process.stderr.write(`${isTerminal ? "\u001b[2mbuild\u001b[0m" : "build"} ${text}\n`);
}

/** Files below `directory`, sorted, without what Cargo and the tests leave there. */
function filesBelow(directory: string, accepts: (name: string) => boolean): string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name === "target" || entry.name === "node_modules" || entry.name.startsWith("."))
        continue;
      const child = join(path, entry.name);
      if (entry.isDirectory()) walk(child);
      else if (accepts(entry.name)) found.push(child);
    }
  };
  if (existsSync(directory)) walk(directory);
  return found.sort();
}

/** Hash of names and contents, and of whatever else the result depends on. */
function hashOf(files: readonly string[], also: readonly string[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const text of also) hasher.update(`${text}\0`);
  for (const file of files) {
    hasher.update(`${relative(root, file)}\0`);
    hasher.update(readFileSync(file));
  }
  return hasher.digest("hex");
}

const stampPath = (step: string): string => join(root, ".cache", "build", step);

function isFresh(step: string, hash: string, outputs: readonly string[]): boolean {
  const stamp = stampPath(step);
  return (
    existsSync(stamp) &&
    readFileSync(stamp, "utf8") === hash &&
    outputs.every((path) => existsSync(path))
  );
}

function stamp(step: string, hash: string): void {
  mkdirSync(join(root, ".cache", "build"), { recursive: true });
  writeFileSync(stampPath(step), hash);
}

/** Runs a command with a line that says so; on a terminal the line counts the seconds until it ends. */
async function run(
  name: string,
  command: string[],
  environment: Record<string, string> = {},
): Promise<void> {
  const started = performance.now();
  const elapsed = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  say(name);
  const child = Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const ticker = isTerminal
    ? setInterval(() => process.stderr.write(`\r\u001b[2m      ${elapsed()}\u001b[0m`), 500)
    : null;
  const [output, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (ticker !== null) {
    clearInterval(ticker);
    process.stderr.write("\r\u001b[K");
  }
  if (status !== 0) {
    process.stderr.write(`${output}${errors}`);
    throw new BuildError(`${name} failed (exit ${status})`);
  }
  say(`${name}: done in ${elapsed()}`);
}

// ---- addon ----

const nativeDirectory: string = join(root, "native");
const binding: string = join(nativeDirectory, "binding.js");
const bindingTypes: string = join(nativeDirectory, "binding.d.ts");

interface AddonOptions {
  readonly isDebug: boolean;
  readonly isCheck: boolean;
}

function addonBinaries(): string[] {
  return readdirSync(nativeDirectory).filter((name) => name.endsWith(".node"));
}

function addonHash(isDebug: boolean): string {
  const sources = filesBelow(
    nativeDirectory,
    (name) => name.endsWith(".rs") || name === "Cargo.toml" || name === "Cargo.lock",
  )
    // Tests do not end up in the addon.
    .filter((path) => !/(^|\/)(tests\.rs$|tests\/|fuzz\/)/.test(relative(nativeDirectory, path)));
  return hashOf(sources, [
    isDebug ? "debug" : "release",
    process.platform,
    process.arch,
    "layout 1",
  ]);
}

/** Whether the addon is what its sources say. A release build also serves where a debug build is asked for. */
function isAddonFresh(isDebug: boolean): boolean {
  if (addonBinaries().length === 0) return false;
  const outputs = [binding, bindingTypes];
  return (
    isFresh("addon", addonHash(false), outputs) ||
    (isDebug && isFresh("addon", addonHash(true), outputs))
  );
}

async function buildAddon(options: AddonOptions): Promise<void> {
  if (isAddonFresh(options.isDebug)) return;
  if (options.isCheck)
    throw new BuildError("the addon is older than its sources", "bun build.ts addon");
  if (Bun.which("cargo") === null) {
    throw new BuildError(
      "cargo was not found: the native log is built from source",
      "Install Rust 1.89 or newer (rustup), then run this again.",
    );
  }
  // The hash is taken first: an edit during the build makes the next run build again.
  const hash = addonHash(options.isDebug);
  // Built aside and moved in place: a process that has the old one loaded keeps it, and one that starts meanwhile finds one.
  const staging = join(root, ".cache", "build", `addon-${process.pid}`);
  mkdirSync(staging, { recursive: true });
  await run(options.isDebug ? "native addon (debug)" : "native addon", [
    process.execPath,
    join(root, "node_modules", "@napi-rs", "cli", "dist", "cli.js"),
    "build",
    "--platform",
    ...(options.isDebug ? [] : ["--release"]),
    "--manifest-path",
    join(nativeDirectory, "crates", "binding", "Cargo.toml"),
    "--package-json-path",
    join(root, "package.json"),
    "--target-dir",
    process.env["CARGO_TARGET_DIR"] ?? join(nativeDirectory, "target"),
    "--output-dir",
    staging,
    "--js",
    "binding.js",
    "--dts",
    "binding.d.ts",
    "--esm",
    "--",
    "--locked",
  ]);
  for (const product of readdirSync(staging))
    renameSync(join(staging, product), join(nativeDirectory, product));
  rmSync(staging, { recursive: true });
  stamp("addon", hash);
}

// ---- generated code ----

/** Files that the generator reads and writes: schemas, itself, the generated code. */
function codegenHash(): string {
  const protocol = join(root, "src", "protocol");
  const accepts = (name: string): boolean => /\.(ts|json|zst)$/.test(name);
  return hashOf(
    ["generator", "schema", "generated", "records"].flatMap((name) =>
      filesBelow(join(protocol, name), accepts),
    ),
    [Bun.version],
  );
}

async function generateCode(): Promise<void> {
  if (isFresh("codegen", codegenHash(), [])) return;
  await run("generated protocol code", [
    process.execPath,
    join(root, "src", "protocol", "generator", "main.ts"),
  ]);
  stamp("codegen", codegenHash());
}

// ---- reference pages ----

async function writeDocuments(isCheck: boolean): Promise<void> {
  const { REFERENCE_PATH, referencePage } = await import("./src/config/reference-page.ts");
  const path = join(root, REFERENCE_PATH);
  const page = referencePage();
  if (existsSync(path) && readFileSync(path, "utf8") === page) return;
  if (isCheck)
    throw new BuildError(`${REFERENCE_PATH} is older than the table of keys`, "bun build.ts docs");
  writeFileSync(path, page);
  say(REFERENCE_PATH);
}

// ---- bundles ----

/** The addon stays a file of its own beside the bundle's folder; its loader finds the .node from there. So does the benchmark. */
const restIsOutside: Bun.BunPlugin = {
  name: "native addon and benchmark outside of the bundle",
  setup(build) {
    build.onResolve({ filter: /^#bench$/ }, () => ({
      path: "../bench/command.ts",
      external: true,
    }));
    build.onResolve({ filter: /^#native$/ }, () => ({
      path: "../native/binding.js",
      external: true,
    }));
  },
};

interface Bundle {
  readonly entry: string;
  readonly output: string;
  readonly target: "node" | "bun";
}

const bundles: readonly Bundle[] = [
  { entry: "src/log/index.ts", output: "log.js", target: "node" },
  { entry: "src/main.ts", output: "main.js", target: "bun" },
  // Started by main.js as a Worker, so it needs a file of its own.
  { entry: "src/broker/broker-thread.ts", output: "broker-thread.js", target: "bun" },
];

async function buildBundles(wanted: string | undefined): Promise<void> {
  const sources = filesBelow(join(root, "src"), (name) => name.endsWith(".ts"));
  const hash = hashOf([...sources, join(root, "package.json")], [Bun.version]);
  const chosen = bundles.filter(({ output }) => wanted === undefined || output === wanted);
  if (chosen.length === 0)
    throw new BuildError(
      `there is no bundle ${wanted}`,
      bundles.map(({ output }) => output).join(" or "),
    );
  for (const bundle of chosen) {
    if (isFresh(bundle.output, hash, [join(root, "dist", bundle.output)])) continue;
    const started = performance.now();
    const result = await Bun.build({
      entrypoints: [join(root, bundle.entry)],
      outdir: join(root, "dist"),
      naming: bundle.output,
      target: bundle.target,
      format: "esm",
      sourcemap: "linked",
      plugins: [restIsOutside],
      throw: false,
    });
    if (!result.success) {
      throw new BuildError(`dist/${bundle.output} failed\n${result.logs.map(String).join("\n")}`);
    }
    stamp(bundle.output, hash);
    say(`dist/${bundle.output}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
}

// ---- command line ----

const [verb = "all", ...rest] = process.argv.slice(2).filter((argument) => argument !== "--");
const flags = rest.filter((argument) => argument.startsWith("-"));
const operand = rest.find((argument) => !argument.startsWith("-"));
const options: AddonOptions = {
  isDebug: flags.includes("--debug"),
  isCheck: flags.includes("--check"),
};
const unknownFlag = flags.find((flag) => flag !== "--debug" && flag !== "--check");

try {
  if (unknownFlag !== undefined)
    throw new BuildError(`unknown option ${unknownFlag}`, "--debug or --check");
  switch (verb) {
    case "addon":
      await buildAddon(options);
      break;
    case "codegen":
      await generateCode();
      break;
    case "docs":
      await writeDocuments(options.isCheck);
      break;
    case "bundle":
      await buildBundles(operand);
      break;
    case "all":
      await buildAddon(options);
      await generateCode();
      await buildBundles(undefined);
      break;
    default:
      throw new BuildError(`unknown step ${verb}`, "addon, codegen, docs, bundle or all");
  }
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  process.stderr.write(`build: ${error.message}\n`);
  if (error.remedy !== null) process.stderr.write(`       ${error.remedy}\n`);
  process.exit(1);
}
