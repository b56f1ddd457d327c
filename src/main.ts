#!/usr/bin/env bun
/**
 * The process entry: reads the command line and hands over to one file of `cli/`, loaded only when it is needed.
 */
import { processIo } from "#cli/command-io.ts";
import { runCommandLine } from "#cli/command-line.ts";
import packageJson from "../package.json" with { type: "json" };

const args = process.argv.slice(2);
await runCommandLine(
  args,
  processIo({ version: packageJson.version, testedBun: packageJson.engines.bun }, args),
);
