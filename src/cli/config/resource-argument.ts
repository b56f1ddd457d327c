/** What `sluice config` is asked about: the type's word, a name unless the type has none, and what comes after. */
import type { ConfigResource } from "#client/configs.ts";
import { UsageError } from "../failure.ts";

/** The words for what has a configuration. */
export const RESOURCE_WORDS = [
  "topic",
  "broker",
  "broker-defaults",
  "group",
  "client-metrics",
] as const;

/** One of `RESOURCE_WORDS`. */
export type ResourceWord = (typeof RESOURCE_WORDS)[number];

/** A resource, and the words after it. */
export interface ResourceArguments {
  readonly word: ResourceWord;
  readonly resource: ConfigResource;
  readonly rest: readonly string[];
}

/** Reads the type and the words after it. */
export function readResource(type: string, words: readonly string[]): ResourceArguments {
  const word = RESOURCE_WORDS.find((candidate) => candidate === type);
  if (word === undefined) {
    throw new UsageError(
      `there is no configuration of '${type}', only of ${RESOURCE_WORDS.slice(0, -1).join(", ")} and ${RESOURCE_WORDS.at(-1)}`,
    );
  }
  if (word === "broker-defaults")
    return { word, resource: { type: "broker", name: "" }, rest: words };
  const [name = "", ...rest] = words;
  if (word === "broker" && !/^\d{1,10}$/.test(name)) {
    throw new UsageError(
      name === "" ? "say which broker, by its id" : `a broker is named by its id, not '${name}'`,
      ["'sluice cluster' shows the ids; 'broker-defaults' is what all brokers share."],
    );
  }
  if (name === "" || name.includes("=")) throw new UsageError(`say which ${word}, before the keys`);
  return { word, resource: { type: word, name }, rest };
}

/** The words that call the resource again: `topic orders`. */
export function formatResourceWords({ word, resource }: Omit<ResourceArguments, "rest">): string {
  return word === "broker-defaults" ? word : `${word} ${resource.name}`;
}
