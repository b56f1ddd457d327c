/**
 * The broker of this checkout, started the way its README says. Its defaults stand, but for the delay after which files
 * of a deleted topic go: both sides get the same, so that the runs' own topics leave the disk soon.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describeCheckout } from "../machine.ts";
import {
  launch,
  root,
  runCommand,
  type Durability,
  type RunningSystem,
  type StartOptions,
  type System,
} from "./system.ts";

/** The Bun of the checkout; in an installed package the one that runs this. */
const bun = existsSync(join(root, "node_modules/.bin/bun"))
  ? join(root, "node_modules/.bin/bun")
  : process.execPath;

/** Extra settings from the environment, `key=value` separated by commas: to try a setting against the same rival. */
function extraSettings(): [string, string][] {
  const text = process.env["SLUICE_BENCH_OVERRIDES"] ?? "";
  return text
    .split(",")
    .filter((pair) => pair.includes("="))
    .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
}

/** Adapter for the checkout this file is in. */
export const self: System = {
  name: "sluice",
  warmUpSeconds: 5,
  isBroker: true,
  isOurs: true,

  async prepare(): Promise<void> {
    // A stale or unoptimised addon would be measured without notice; the build does nothing when all is up to date.
    if (process.env["SLUICE_BENCH_BUILD"] === "no" || !existsSync(join(root, "build.ts"))) return;
    await runCommand([bun, "build.ts", "addon"]);
  },

  async version(): Promise<string> {
    const manifest: { version: string } = await Bun.file(join(root, "package.json")).json();
    const { commit } = await describeCheckout();
    return `sluice ${manifest.version} (${commit.slice(0, 12)}), bun ${(await runCommand([bun, "--version"])).trim()}`;
  },

  config(options: StartOptions): Record<string, string> {
    return {
      "log.dirs": join(options.directory, "data"),
      listeners: `PLAINTEXT://127.0.0.1:${options.port}`,
      "log.segment.delete.delay.ms": "500",
      ...options.settings,
      ...Object.fromEntries(extraSettings()),
    };
  },

  topicConfig(durability: Durability, acks: number): Record<string, string> {
    // acks=1 is answered from the page cache by default; acks=all is answered after an fsync unless told otherwise.
    if (durability === "page-cache") return acks === -1 ? { "sluice.acks.all.fsync": "false" } : {};
    return { "sluice.acks.all.fsync": "true" };
  },

  start(options: StartOptions): Promise<RunningSystem> {
    const overrides = Object.entries(this.config(options)).flatMap(([key, value]) => [
      "--override",
      `${key}=${value}`,
    ]);
    return launch({
      name: "sluice",
      command: [bun, "src/main.ts", "start", ...overrides],
      port: options.port,
      cpus: options.cpus,
      dataDirectory: join(options.directory, "data"),
      logDirectory: join(options.directory, "logs"),
      timeoutMs: 30_000,
    });
  },
};
