/** The faults of the network are what they say: seen by datagrams between three hosts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { NetworkHost, TestNetwork } from "../support/namespaces.ts";
import { makeNetwork, whyNoLoss, whyNoNamespaces } from "../support/namespaces.ts";

const PORT = 7007;
const COUNT = 200;
/** Sends to each address, counts by sender; tells its counts for each line it is given. */
const PROGRAM = `
const [, own, ...others] = process.argv;
let counts = {};
const socket = await Bun.udpSocket({
  hostname: own,
  port: ${PORT},
  socket: { data: (_, bytes, port, from) => (counts[from] = (counts[from] ?? 0) + 1) },
});
for await (const line of console) {
  if (line === "send")
    for (let at = 0; at < ${COUNT}; at += 1) {
      for (const other of others) socket.send("x", ${PORT}, other);
      await Bun.sleep(1);
    }
  if (line === "count") (console.log(JSON.stringify(counts)), (counts = {}));
  else console.log("{}");
}`;

const reason = await whyNoNamespaces();
const lossReason = reason ?? whyNoLoss();
if (lossReason !== null) console.log(`skipped: ${lossReason}`);

interface Talker {
  readonly host: NetworkHost;
  readonly ask: (line: string) => Promise<Record<string, number>>;
  readonly stop: () => void;
}

let network: TestNetwork;
let talkers: Talker[] = [];

function talk(host: NetworkHost, others: readonly string[]): Talker {
  const child = Bun.spawn(
    [...host.wrapper, process.execPath, "-e", PROGRAM, host.address, ...others],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  );
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const ask = async (line: string): Promise<Record<string, number>> => {
    void child.stdin.write(`${line}\n`);
    await child.stdin.flush();
    return JSON.parse((await lines.read()).value ?? "{}") as Record<string, number>;
  };
  return { host, ask, stop: () => child.kill() };
}

/** Share of the datagrams from one host that reached another, in percent. */
async function arrivals(): Promise<(from: number, to: number) => number> {
  for (const { ask } of talkers) await ask("count");
  await Promise.all(talkers.map(({ ask }) => ask("send")));
  await Bun.sleep(100);
  const counts = await Promise.all(talkers.map(({ ask }) => ask("count")));
  return (from, to) =>
    Math.round(((counts[to]?.[talkers[from]?.host.address ?? ""] ?? 0) * 100) / COUNT);
}

function host(at: number): NetworkHost {
  const found = network.hosts[at];
  if (found === undefined) throw new Error(`there is no host ${at}`);
  return found;
}

beforeAll(async () => {
  if (reason !== null) return;
  network = await makeNetwork(3);
  const all = network.hosts.map(({ address }) => address);
  talkers = network.hosts.map((each) =>
    talk(
      each,
      all.filter((address) => address !== each.address),
    ),
  );
  // Neighbours are found by the first datagrams, which may be lost meanwhile.
  await arrivals();
}, 30_000);

afterAll(async () => {
  for (const { stop } of talkers) stop();
  await network?.remove();
});

test.skipIf(reason !== null)(
  "a cut goes one way, and is mended",
  async () => {
    const whole = await arrivals();
    expect([whole(0, 1), whole(1, 0), whole(0, 2)]).toEqual([100, 100, 100]);
    await host(0).cutTo(host(1));
    const cut = await arrivals();
    expect([cut(0, 1), cut(1, 0), cut(0, 2), cut(2, 0)]).toEqual([0, 100, 100, 100]);
    await host(0).mend();
    await arrivals();
    const mended = await arrivals();
    expect(mended(0, 1)).toBe(100);
  },
  30_000,
);

test.skipIf(lossReason !== null)(
  "packets are lost at random, as many as was said",
  async () => {
    await host(1).lose(30);
    const lossy = await arrivals();
    expect(lossy(0, 1)).toBeGreaterThan(50);
    expect(lossy(0, 1)).toBeLessThan(90);
    expect(lossy(1, 0)).toBe(100);
    await host(1).lose(0);
    expect((await arrivals())(0, 1)).toBe(100);
  },
  30_000,
);
