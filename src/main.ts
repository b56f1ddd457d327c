#!/usr/bin/env bun
/**
 * The process entry: reads the command line and hands over to one file of `cli/`, loaded only when it is needed.
 */
import { runCommandLine } from "#cli/command-line.ts";
import packageJson from "../package.json" with { type: "json" };

await runCommandLine(process.argv.slice(2), packageJson.version);
