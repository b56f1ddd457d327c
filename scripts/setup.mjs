/**
 * The way in for a fresh clone: plain Node, no dependencies. It brings the checkout to the state the lockfiles describe
 * (packages, Bun among them, and the native addon), then hands over to Bun. Every step is skipped when it is up to date, so
 * the second start costs a hash and two spawns.
 *
 *   node scripts/setup.mjs start [arguments of `sluice start`]
 *   node scripts/setup.mjs test  [arguments of test/run.ts]
 *   node scripts/setup.mjs build
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const isTerminal = process.stderr.isTTY === true;
const dim = (text) => (isTerminal ? `\u001b[2m${text}\u001b[0m` : text);
const say = (text) => process.stderr.write(`${dim("sluice")} ${text}\n`);

/** Ends the process with one clear message and, where known, the way out. */
function fail(problem, remedy) {
  process.stderr.write(`sluice: ${problem}\n${remedy === undefined ? "" : `        ${remedy}\n`}`);
  process.exit(1);
}

/** Runs a step with its output on our terminal; fails with its name when it fails. */
function step(name, command, args, environment = {}) {
  say(name);
  const run = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", process.stderr, process.stderr],
    env: { ...process.env, ...environment },
  });
  if (run.error !== undefined)
    fail(`${name}: ${command} could not be started (${run.error.message})`);
  if (run.status !== 0) fail(`${name} failed (exit ${run.status ?? run.signal})`);
}

function requireNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) fail(`Node ${process.versions.node} is too old`, "Node 20 or newer is needed.");
}

/**
 * Installs what package-lock.json names, once per lockfile content. Not `npm ci`: that refuses when a mirror of the registry lacks an
 * optional package of some other platform, which `npm install` with the same lockfile rightly does without.
 */
function installPackages() {
  const marker = join(root, "node_modules", ".sluice-lock");
  const lockfile = join(root, "package-lock.json");
  const hash = createHash("sha256").update(readFileSync(lockfile)).digest("hex");
  if (existsSync(marker) && readFileSync(marker, "utf8") === hash) return;
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const flags = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  step("installing the locked packages (first start only, about a minute)", npm, [
    "install",
    ...flags,
  ]);
  writeFileSync(marker, hash);
}

/** Path of the Bun binary; repairs an installation whose install scripts were blocked. */
function bunBinary() {
  const bun = join(root, "node_modules", ".bin", "bun");
  const works = () => spawnSync(bun, ["--version"], { encoding: "utf8" }).status === 0;
  if (existsSync(join(root, "node_modules", ".sluice-bun")) && existsSync(bun)) return bun;
  if (!works()) {
    step("linking the Bun binary", process.execPath, [
      join(root, "node_modules", "bun", "install.js"),
    ]);
    if (!works())
      fail(
        "Bun does not run on this machine",
        "See the platforms that the npm package bun supports.",
      );
  }
  writeFileSync(join(root, "node_modules", ".sluice-bun"), "");
  return bun;
}

/** Builds the addon unless it is newer than its sources (build.ts decides by content). */
function buildAddon(bun) {
  const fresh = spawnSync(bun, ["build.ts", "addon", "--check"], { cwd: root, stdio: "ignore" });
  if (fresh.status === 0) return;
  const cargo = spawnSync("cargo", ["--version"], { stdio: "ignore" });
  if (cargo.error !== undefined || cargo.status !== 0) {
    fail(
      "cargo was not found: the native log is built from source",
      "Install Rust 1.89 or newer (rustup), then run this again.",
    );
  }
  step("building the native log (first start only, one to three minutes)", bun, [
    "build.ts",
    "addon",
  ]);
}

/** Runs the main job in the foreground, passing signals on, and ends as it ends. */
function handOver(bun, args) {
  const child = spawn(bun, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`Bun could not be started (${error.message})`));
  child.on("exit", (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
}

requireNode();
const [verb, ...rest] = process.argv.slice(2);
if (verb !== "start" && verb !== "test" && verb !== "build")
  fail(`unknown verb ${String(verb)}`, "start, test or build");
installPackages();
const bun = bunBinary();
if (verb === "build") handOver(bun, ["build.ts", "all", ...rest]);
else {
  buildAddon(bun);
  handOver(bun, verb === "start" ? ["src/main.ts", "start", ...rest] : ["test/run.ts", ...rest]);
}
