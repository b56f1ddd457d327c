/**
 * Tells the stories of `test/unit/controller/stories` of real Kafka: one controller and three brokers, so that two brokers may be gone at once
 * (node 1 is both, and stays). By hand, some minutes:
 *
 *     KAFKA_LIBS=… bun test --timeout 1200000 ./test/differential/controller-stories.ts
 *
 * With `UPDATE_TRANSCRIPTS=1` what Kafka does is recorded; the unit test then asks the same of our controller. `STORIES` names another
 * directory of stories.
 */
import { afterAll } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ApiMessages } from "#protocol/api.ts";
import { DeleteTopicsApi, makeDeleteTopicsRequest } from "#protocol/generated/delete-topics.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import {
  type BrokerProcess,
  formatKafka,
  javaCommand,
  SpawnedBroker,
  writeProperties,
} from "../support/broker-process.ts";
import { freePort, until } from "../support/process.ts";
import { transcripts } from "../support/transcripts.ts";
import { tell } from "../unit/controller/story.ts";
import type { StoryCluster } from "../unit/controller/story.ts";
import { Wire } from "./wire.ts";

const libraries = process.env["KAFKA_LIBS"] ?? "";
const directory = process.env["STORY_DIRECTORY"] ?? `/tmp/controller-stories-${process.pid}`;
const CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAqg";
/** Longer than a follower takes to join the in-sync set it belongs in. */
const STILL_MS = 4_000;
const PATIENCE_MS = 120_000;

class KafkaStory implements StoryCluster {
  readonly racks: string;
  readonly #nodes: readonly BrokerProcess[];
  readonly #down = new Set<number>();

  constructor(racks: string, nodes: readonly BrokerProcess[]) {
    this.racks = racks;
    this.#nodes = nodes;
  }

  static async launch(
    racks: string,
    config: Readonly<Record<string, string>>,
  ): Promise<KafkaStory> {
    const controllerPort = await freePort();
    const nodes: BrokerProcess[] = [];
    for (const [index, rack] of racks.split(",").entries()) {
      const id = index + 1;
      const port = await freePort();
      const home = join(directory, `${racks.replaceAll(",", "-")}-${id}`);
      mkdirSync(home, { recursive: true });
      const isController = id === 1;
      const listeners = [`PLAINTEXT://127.0.0.1:${port}`];
      if (isController) listeners.push(`CONTROLLER://127.0.0.1:${controllerPort}`);
      const properties = join(home, "server.properties");
      writeProperties(properties, {
        "process.roles": isController ? "broker,controller" : "broker",
        "node.id": String(id),
        "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
        listeners: listeners.join(","),
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": join(home, "data"),
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "500",
        "auto.leader.rebalance.enable": "false",
        ...(rack === "" ? {} : { "broker.rack": rack }),
        ...config,
      });
      const java = javaCommand(libraries, home);
      await formatKafka(java, properties, join(home, "data"), { clusterId: CLUSTER_ID });
      nodes.push(
        new SpawnedBroker({
          name: `Kafka ${id}`,
          port,
          dataDirectory: join(home, "data"),
          logFile: join(home, "broker.log"),
          readyTimeoutMs: PATIENCE_MS,
          command: [...java, "kafka.Kafka", properties],
        }),
      );
    }
    for (const node of nodes) node.launch();
    await Promise.all(nodes.map((node) => node.start()));
    const story = new KafkaStory(racks, nodes);
    await story.settle();
    return story;
  }

  /** Everybody up, no topics: as a story begins. */
  async begin(): Promise<void> {
    for (const id of this.#down) await this.start(id);
    const { topics } = await this.send(MetadataApi, 12, makeMetadataRequest({ topics: null }));
    const topicNames = topics.flatMap(({ name }) => (name === null ? [] : [name]));
    await this.send(DeleteTopicsApi, 5, makeDeleteTopicsRequest({ topicNames, timeoutMs: 30_000 }));
    await this.settle();
  }

  async send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res> {
    using wire = await Wire.connect(this.#nodes[0]?.bootstrap ?? "");
    return await wire.send(api, version, request);
  }

  stop(id: number): Promise<void> {
    return this.#end(id, "SIGTERM");
  }
  kill(id: number): Promise<void> {
    return this.#end(id, "SIGKILL");
  }

  async #end(id: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#down.add(id);
    await this.#nodes[id - 1]?.stop(signal);
  }

  async start(id: number): Promise<void> {
    await this.#nodes[id - 1]?.start();
    this.#down.delete(id);
  }

  async settle(): Promise<void> {
    let seen = "";
    let since = performance.now();
    await until(
      async () => {
        const { brokers } = await this.send(
          DescribeClusterApi,
          2,
          makeDescribeClusterRequest({ endpointType: 1, includeFencedBrokers: true }),
        );
        const { topics } = await this.send(MetadataApi, 12, makeMetadataRequest({ topics: null }));
        const now = JSON.stringify([brokers, topics]);
        if (now !== seen) since = performance.now();
        seen = now;
        const serving = brokers.filter(({ isFenced }) => !isFenced).length;
        const isAsTold = serving === this.#nodes.length - this.#down.size;
        return isAsTold && performance.now() - since > STILL_MS;
      },
      PATIENCE_MS,
      () => `the cluster does not come to rest: ${seen}`,
    );
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop("SIGKILL")));
  }
}

let running: KafkaStory | null = null;

const stories = process.env["STORIES"] ?? join(import.meta.dirname, "../unit/controller/stories");
transcripts(stories, {
  start: async ({ racks = ",,", ...config }) => {
    if (running?.racks !== racks || Object.keys(config).length > 0) {
      await running?.dispose();
      running = await KafkaStory.launch(racks, config);
    }
    await running.begin();
    return running;
  },
  run: tell,
});

afterAll(async () => {
  await running?.dispose();
});
