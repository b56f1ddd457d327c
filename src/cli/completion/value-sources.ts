/**
 * What values are completed with, by what they are called in the help: words that are known here, names of files, or what the cluster
 * has at this moment. The cluster gets a second; when it does not answer nothing is offered and nothing is said.
 */
import { parseAddresses } from "#client/address.ts";
import { Cluster } from "#client/cluster.ts";
import { describeConfigs, listConfigResources } from "#client/configs.ts";
import { listGroups } from "#client/groups.ts";
import { BROKER_KEYS } from "#config/broker-keys.ts";
import { TOPIC_KEYS } from "#config/topic-keys.ts";
import { knownKeys } from "../config/known-keys.ts";
import { readResource, RESOURCE_WORDS } from "../config/resource-argument.ts";
import { type Candidate, type Completion, NOTHING, type ValueQuestion } from "./complete.ts";

const CLUSTER_TIMEOUT_MS = 1_000;
const DEFAULT_BOOTSTRAP = "127.0.0.1:9092";
/** More than that nobody reads, and the shell would ask. */
const MAX_CANDIDATES = 2_000;

const WORDS: Readonly<Record<string, readonly string[]>> = {
  "all|1|0": ["all", "1", "0"],
  codec: ["none", "gzip", "snappy", "lz4", "zstd"],
  level: ["read_uncommitted", "read_committed"],
  protocol: ["classic", "consumer"],
  shell: ["bash", "zsh", "fish"],
  where: ["beginning", "end"],
};

const LISTS: Readonly<Record<string, readonly string[]>> = {
  "state,...": [
    "stable",
    "empty",
    "dead",
    "preparingrebalance",
    "completingrebalance",
    "assigning",
    "reconciling",
  ],
  "type,...": ["classic", "consumer", "share", "streams"],
};

const FILES: ReadonlySet<string> = new Set(["file", "path", "directory"]);

/** Answers a question of `complete`; never fails. */
export async function valuesFor(question: ValueQuestion): Promise<Completion> {
  const { name } = question;
  if (FILES.has(name)) return { ...NOTHING, hasFiles: true };
  const words = WORDS[name];
  if (words !== undefined) return wordsToOffer(words);
  const list = LISTS[name];
  if (list !== undefined) return listToOffer(list, question.partial);
  switch (name) {
    case "topic":
      return wordsToOffer(await atCluster(question, topicNames));
    case "topic[:partitions]":
      return { ...wordsToOffer(await atCluster(question, topicNames)), isOpen: true };
    case "group":
      return wordsToOffer(await atCluster(question, groupIds));
    case "key=value":
      return { ...wordsToOffer(ownKeys(question).map((key) => `${key}=`)), isOpen: true };
    case "key":
      return wordsToOffer(ownKeys(question));
    case "type":
      return wordsToOffer(
        question.command === "config list"
          ? RESOURCE_WORDS.filter((word) => word !== "broker-defaults")
          : RESOURCE_WORDS,
      );
    case "name-and-keys":
      return completeConfig(question);
    default:
      return NOTHING;
  }
}

function wordsToOffer(words: readonly string[]): Completion {
  return { ...NOTHING, candidates: words.slice(0, MAX_CANDIDATES).map(toCandidate) };
}

function toCandidate(value: string): Candidate {
  return { value, description: "" };
}

/** The last of words with commas between. */
function listToOffer(words: readonly string[], partial: string): Completion {
  const before = partial.slice(0, partial.lastIndexOf(",") + 1);
  return wordsToOffer(words.map((word) => before + word));
}

/** Keys that the command knows without a cluster: of a broker's file, or of a topic. */
function ownKeys({ command }: ValueQuestion): readonly string[] {
  const keys = command.startsWith("topic ") ? TOPIC_KEYS : command === "produce" ? [] : BROKER_KEYS;
  return keys.filter(({ isInternal }) => isInternal !== true).map((key) => key.name);
}

/** `config …`: the name of the resource first, then its keys. */
async function completeConfig(question: ValueQuestion): Promise<Completion> {
  const [type = "", ...words] = question.before;
  if (words.length === 0 && type !== "broker-defaults") {
    return wordsToOffer(
      await atCluster(question, async (cluster) => {
        switch (type) {
          case "topic":
            return topicNames(cluster);
          case "group":
            return groupIds(cluster);
          case "broker":
            return [...cluster.metadata.brokers.keys()].map(String);
          case "client-metrics":
            return listConfigResources(cluster, type);
          default:
            return [];
        }
      }),
    );
  }
  const isPair = /^config (set|append|subtract)$/.test(question.command);
  const keys = await atCluster(question, async (cluster) => {
    const { resource } = readResource(type, words);
    const isUnset = question.command === "config unset";
    const entries = isUnset
      ? (await describeConfigs(cluster, resource)).filter(({ source }) => source !== "default")
      : await knownKeys(cluster, resource);
    return entries
      .filter(({ isReadOnly }) => !isReadOnly || question.command === "config describe")
      .map((entry) => (isPair ? `${entry.name}=` : entry.name));
  });
  return { ...wordsToOffer(keys), isOpen: isPair };
}

async function topicNames(cluster: Cluster): Promise<readonly string[]> {
  return (await cluster.listTopics()).map(({ name }) => name);
}

async function groupIds(cluster: Cluster): Promise<readonly string[]> {
  return (await listGroups(cluster)).map(({ groupId }) => groupId);
}

/** Asks the cluster; nothing when it cannot be asked in time. */
async function atCluster(
  { bootstrap }: ValueQuestion,
  work: (cluster: Cluster) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const addresses = parseAddresses(bootstrap ?? DEFAULT_BOOTSTRAP);
  if (addresses === null) return [];
  let cluster: Cluster | null = null;
  const ask = async (): Promise<readonly string[]> => {
    cluster = await Cluster.connect({
      bootstrap: addresses,
      clientId: "sluice-completion",
      connectTimeoutMs: CLUSTER_TIMEOUT_MS,
      requestTimeoutMs: CLUSTER_TIMEOUT_MS,
      retryTimeoutMs: 0,
    });
    return work(cluster);
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), CLUSTER_TIMEOUT_MS);
  });
  try {
    return await Promise.race([ask().catch(() => []), late]);
  } finally {
    clearTimeout(timer);
    (cluster as Cluster | null)?.close();
  }
}
