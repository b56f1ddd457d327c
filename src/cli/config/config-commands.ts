/** `sluice config …` at work: what is set and where, changes key by key, and which resources have a configuration. */
import type { Cluster } from "#client/cluster.ts";
import {
  alterConfigs,
  type ConfigChange,
  type ConfigEntry,
  type ConfigResource,
  type ConfigResourceType,
  type ConfigSource,
  describeConfigs,
  formatResource,
  listConfigResources,
} from "#client/configs.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { UsageError } from "../failure.ts";
import { readPairs } from "../option-values.ts";
import { type Column, printJson, printTable, type Style, styleOf } from "../output.ts";
import { wrapText } from "../wrap-text.ts";
import { withCluster } from "../with-cluster.ts";
import { documentationText } from "./documentation-text.ts";
import { knownKeys, refuseTypos } from "./known-keys.ts";
import { readResource } from "./resource-argument.ts";

/** Options of `config describe`, as commander gives them. */
export interface ConfigDescribeOptions extends ClusterArguments {
  readonly all?: true;
  readonly doc?: true;
  readonly json?: true;
}

/** Options of `config set`, `unset`, `append` and `subtract`. */
export interface ConfigChangeOptions extends ClusterArguments {
  readonly dryRun?: true;
  readonly json?: true;
}

/** Options of `config list`. */
export interface ConfigListOptions extends ClusterArguments {
  readonly json?: true;
}

const DOC_INDENT = "    ";
const MAX_DOC_WIDTH = 100;

/** Runs `config describe`. */
export async function runConfigDescribe(
  type: string,
  words: readonly string[],
  options: ConfigDescribeOptions,
  io: CommandIo,
): Promise<void> {
  const target = readResource(type, words);
  const { resource, rest: keys } = target;
  await withCluster(options, async (cluster) => {
    const hasDocumentation = options.doc === true || options.json === true;
    const entries = await describeConfigs(cluster, resource, { hasDocumentation });
    if (keys.length > 0) refuseTypos(target, await keysOf(cluster, target, entries), keys, true);
    const shown = entries.filter(({ name, source }) =>
      keys.length > 0 ? keys.includes(name) : options.all === true || isSetHere(resource, source),
    );
    if (options.json === true) {
      await printJson(io.stdout, shown.map(toJson));
      return;
    }
    if (shown.length === 0) {
      await io.stderr.write(
        keys.length > 0
          ? `Not set for ${formatResource(resource)}.\n`
          : `No key is set for ${formatResource(resource)}${resource.name === "" ? "" : "; --all shows the values in force"}.\n`,
      );
      return;
    }
    if (options.doc === true) await printWithDocumentation(shown, io);
    else await printEntries(shown, io);
  });
}

/** The defaults of brokers tell what is set alone; what may be set a broker tells. */
function keysOf(
  cluster: Cluster,
  { word, resource }: { readonly word: string; readonly resource: ConfigResource },
  entries: readonly ConfigEntry[],
): Promise<readonly ConfigEntry[]> | readonly ConfigEntry[] {
  return word === "broker-defaults" ? knownKeys(cluster, resource) : entries;
}

/** Whether a value was given to the resource itself; a broker's file counts as its own. */
function isSetHere({ type, name }: ConfigResource, source: ConfigSource): boolean {
  if (type !== "broker") return source === type;
  return name === "" ? source === "broker-defaults" : source !== "default";
}

/** What would hold if the value in force were not set; null where that is not known, or is nothing. */
function defaultOf({ source, value, synonyms }: ConfigEntry): string | null {
  return source === "default" ? value : (synonyms[1]?.value ?? null);
}

function toJson(entry: ConfigEntry): Record<string, unknown> {
  const { name, value, source, isReadOnly, isSensitive, type, synonyms, documentation } = entry;
  return {
    name,
    value,
    source,
    default: defaultOf(entry),
    isReadOnly,
    isSensitive,
    type,
    synonyms,
    documentation: documentation === null ? null : documentationText(documentation),
  };
}

const COLUMNS: readonly Column[] = [
  { heading: "KEY" },
  { heading: "VALUE" },
  { heading: "SOURCE" },
  { heading: "DEFAULT", canShrink: true },
];

function printEntries(entries: readonly ConfigEntry[], io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  return printTable(
    io.stdout,
    COLUMNS,
    entries.map((entry) => [
      entry.name,
      formatValue(entry, entry.value, style),
      formatSource(entry.source, style),
      entry.isSensitive ? "-" : (defaultOf(entry) ?? "-") || '""',
    ]),
  );
}

function formatValue({ isSensitive }: ConfigEntry, value: string | null, style: Style): string {
  if (isSensitive) return style.dim("(secret)");
  return value === null ? "-" : value || '""';
}

function formatSource(source: ConfigSource, style: Style): string {
  return source === "default" ? style.dim(source) : source;
}

async function printWithDocumentation(
  entries: readonly ConfigEntry[],
  io: CommandIo,
): Promise<void> {
  const style = styleOf(io.stdout);
  const width = Math.min(io.stdout.width, MAX_DOC_WIDTH) - DOC_INDENT.length;
  for (const [index, entry] of entries.entries()) {
    const facts = [
      ...(entry.type === null ? [] : [entry.type]),
      entry.source,
      ...(entry.source === "default" ? [] : [`otherwise ${defaultOf(entry) ?? "nothing"}`]),
      ...(entry.isReadOnly ? ["read-only while running"] : []),
    ];
    const text = documentationText(entry.documentation ?? "").split("\n");
    const paragraphs = text.map((paragraph) => wrapText(paragraph, width)).join("\n");
    const body = paragraphs.replaceAll(/^(?=.)/gm, DOC_INDENT);
    await io.stdout.write(
      `${index > 0 ? "\n" : ""}${style.bold(entry.name)} = ${formatValue(entry, entry.value, style)}  ${style.dim(`(${facts.join(", ")})`)}\n${body === "" ? "" : `${body}\n`}`,
    );
  }
}

/** Runs `config set`, `append` and `subtract`, which take `KEY=VALUE`, and `unset`, which takes `KEY`. */
export async function runConfigChange(
  operation: ConfigChange["operation"],
  type: string,
  words: readonly string[],
  options: ConfigChangeOptions,
  io: CommandIo,
): Promise<void> {
  const target = readResource(type, words);
  const { resource, rest } = target;
  const isUnset = operation === "unset";
  if (rest.length === 0)
    throw new UsageError(`say what to ${operation}, as ${isUnset ? "KEY" : "KEY=VALUE"}`);
  const changes: readonly ConfigChange[] = isUnset
    ? rest.map((name) => ({ name, operation, value: null }))
    : [...readPairs(`config ${operation}`, rest)].map(([name, value]) => ({
        name,
        operation,
        value,
      }));
  await withCluster(options, async (cluster) => {
    const names = changes.map(({ name }) => name);
    refuseTypos(target, await knownKeys(cluster, resource), names, false);
    const isValidateOnly = options.dryRun === true;
    await alterConfigs(cluster, resource, changes, { isValidateOnly });
    if (options.json === true) {
      await printJson(io.stdout, { ...resource, isExecuted: !isValidateOnly, changes });
      return;
    }
    const where = formatResource(resource);
    for (const change of changes) {
      const [done, would] = wordsOf(change, where);
      await io.stdout.write(`${isValidateOnly ? `Would ${would}` : done}.\n`);
    }
    if (isValidateOnly) await io.stderr.write(`Nothing was changed.\n`);
  });
}

/** What was done, and what would be. */
function wordsOf(
  { name, operation, value }: ConfigChange,
  where: string,
): readonly [done: string, would: string] {
  const to = value === "" ? "nothing" : value;
  switch (operation) {
    case "set":
      return [`Set ${name} of ${where} to ${to}`, `set ${name} of ${where} to ${to}`];
    case "unset":
      return [`Unset ${name} of ${where}`, `unset ${name} of ${where}`];
    case "append":
      return [`Appended ${to} to ${name} of ${where}`, `append ${to} to ${name} of ${where}`];
    case "subtract":
      return [
        `Subtracted ${to} from ${name} of ${where}`,
        `subtract ${to} from ${name} of ${where}`,
      ];
  }
}

/** Runs `config list`. */
export async function runConfigList(
  type: string | undefined,
  options: ConfigListOptions,
  io: CommandIo,
): Promise<void> {
  const types: readonly ConfigResourceType[] = ["topic", "broker", "group", "client-metrics"];
  const asked = types.filter((candidate) => type === undefined || candidate === type);
  if (asked.length === 0)
    throw new UsageError(`there is no configuration of '${type}', only of ${types.join(", ")}`);
  await withCluster(options, async (cluster) => {
    const rows: ConfigResource[] = [];
    for (const one of asked)
      for (const name of await listConfigResources(cluster, one)) rows.push({ type: one, name });
    if (options.json === true) {
      await printJson(io.stdout, rows);
      return;
    }
    const shown = rows.map((row) =>
      row.type === "broker" && row.name === "" ? ["broker-defaults", ""] : [row.type, row.name],
    );
    if (shown.length === 0) await io.stderr.write("Nothing has a configuration.\n");
    else await printTable(io.stdout, [{ heading: "TYPE" }, { heading: "NAME" }], shown);
  });
}
