/** The clients that are group members, what each is started with, and what it can. */
import { join } from "node:path";
import { go, java, javaMember, newerPlatformatic, python } from "../support/toolchains.ts";
import { javaCommand } from "../java/console.ts";
import type { CheckLimits } from "./checker.ts";
import type { Protocol } from "./member.ts";

/** One client as a group member. */
export interface GroupClient {
  readonly name: string;
  readonly protocols: readonly Protocol[];
  /** Where its members can be static (`group.instance.id`) and come back. */
  readonly staticIn: readonly Protocol[];
  /** Sends a regular expression to the server in the consumer protocol. */
  readonly hasServerPattern: boolean;
  /** Ends its session and joins anew when a connection is refused, as while the broker restarts. */
  readonly rejoinsAfterRefusal?: boolean;
  readonly limits: CheckLimits;
  /** Installs what is missing; resolves with the command, or throws Unavailable. */
  prepare(): Promise<readonly string[]>;
}

const pythonMember = (folder: string) => async (): Promise<string[]> => [
  await python(),
  join(folder, "member.py"),
];
const goMember = (client: string) => async (): Promise<string[]> => [
  await go(),
  "--client",
  client,
];

/** The clients of the group scenarios. */
export const GROUP_CLIENTS: readonly GroupClient[] = [
  {
    name: "confluent-kafka",
    protocols: ["classic", "cooperative", "consumer"],
    staticIn: ["classic", "cooperative", "consumer"],
    hasServerPattern: true,
    limits: {},
    prepare: pythonMember("confluent-kafka"),
  },
  {
    name: "java",
    protocols: ["classic", "cooperative", "consumer"],
    staticIn: ["classic", "cooperative", "consumer"],
    hasServerPattern: true,
    limits: {},
    prepare: async () => {
      const libraries = await java();
      const classes = await javaMember(libraries);
      const command = javaCommand(libraries, "tools");
      return [...command.slice(0, -1), `${command.at(-1)}:${classes}`, "Member"];
    },
  },
  {
    name: "franz-go",
    protocols: ["classic", "cooperative", "consumer"],
    // Its next-generation leave lacks the instance id that Kafka demands of a static member's (1.22.2).
    staticIn: ["classic", "cooperative"],
    hasServerPattern: true,
    rejoinsAfterRefusal: true,
    limits: {},
    prepare: goMember("franz-go"),
  },
  {
    name: "kafkajs",
    protocols: ["classic"],
    staticIn: [],
    hasServerPattern: false,
    limits: { noLost: true, readsAfterRevoke: true },
    prepare: async () => [process.execPath, "kafkajs/member.mjs"],
  },
  {
    name: "platformatic",
    protocols: ["classic"],
    staticIn: ["classic"],
    hasServerPattern: false,
    limits: { noLost: true, isLoose: true },
    prepare: async () => [
      process.execPath,
      "platformatic/member.mjs",
      "--from",
      await newerPlatformatic(),
    ],
  },
  {
    name: "kafka-python",
    protocols: ["classic"],
    staticIn: ["classic"],
    hasServerPattern: false,
    limits: {},
    prepare: pythonMember("kafka-python"),
  },
  {
    name: "aiokafka",
    protocols: ["classic"],
    staticIn: ["classic"],
    hasServerPattern: false,
    limits: { noLost: true },
    prepare: pythonMember("aiokafka"),
  },
  {
    name: "sarama",
    protocols: ["classic"],
    staticIn: ["classic"],
    hasServerPattern: false,
    rejoinsAfterRefusal: true,
    limits: { noLost: true },
    prepare: goMember("sarama"),
  },
];
