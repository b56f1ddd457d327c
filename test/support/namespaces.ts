/**
 * Hosts of a small network on this machine: each a network namespace with an address of its own on one bridge, which the test process
 * is on as well. What is cut off is cut off in silence: packets vanish, nobody is told. Needs root and `ip`; {@link whyNoNamespaces} says
 * whether it can be had.
 */
import { randomBytes } from "node:crypto";
import { mustRun, runCommand } from "./process.ts";

/** One host of the network. */
export interface NetworkHost {
  readonly address: string;
  /** Goes before a command to run it on this host. */
  readonly wrapper: readonly string[];
  /** Takes the host off the network: nothing reaches it, nothing it sends arrives, its own addresses and routes stay. */
  isolate(): Promise<void>;
  /** Puts it back. */
  rejoin(): Promise<void>;
  /** From now on nothing that this host sends reaches `other`; the way back stays open. Nobody is told. */
  cutTo(other: NetworkHost): Promise<void>;
  /** Loses this share of all packets that come in, 0 to 100 percent. Needs `nft`: {@link whyNoLoss}. */
  lose(percent: number): Promise<void>;
  /** Takes back every cut made by `cutTo` from this host. */
  mend(): Promise<void>;
}

/** Hosts on one bridge, and the bridge's own address, by which the test process takes part. */
export interface TestNetwork {
  readonly address: string;
  readonly hosts: readonly NetworkHost[];
  /** Removes everything that was made; what still runs there loses its network. */
  remove(): Promise<void>;
}

/** Why namespaces cannot be made here, or null when they can. */
export async function whyNoNamespaces(): Promise<string | null> {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const name = `slt${randomBytes(3).toString("hex")}`;
  try {
    await mustRun(["ip", "netns", "add", name]);
    await mustRun(["ip", "link", "add", `${name}b`, "type", "bridge"]);
    return null;
  } catch (error) {
    return `network namespaces cannot be made: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await runCommand(["ip", "link", "del", `${name}b`]).catch(() => {});
    await runCommand(["ip", "netns", "del", name]).catch(() => {});
  }
}

/** Why packets cannot be lost at random here, or null when they can. */
export function whyNoLoss(): string | null {
  return Bun.which("nft") === null ? "losing packets needs nft (package nftables)" : null;
}

/** Nobody's hardware address: what is sent to it is dropped by all. */
const NOBODY = "02:00:00:00:00:01";

/** The host in namespace `name`, on the network by `link`. */
function makeHost(name: string, link: string, bridge: string, address: string): NetworkHost {
  const wrapper = ["ip", "netns", "exec", name];
  const ip = (...words: string[]): Promise<string> => mustRun(["ip", "-n", name, ...words]);
  const cut = new Set<string>();
  return {
    address,
    wrapper,
    isolate: async () => void (await mustRun(["ip", "link", "set", link, "nomaster"])),
    rejoin: async () => void (await mustRun(["ip", "link", "set", link, "master", bridge])),
    cutTo: async (other) => {
      cut.add(other.address);
      const to = [other.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
      await ip("neigh", "replace", ...to);
    },
    lose: async (percent) => {
      const rule = percent > 0 ? `iifname "eth0" numgen random mod 100 < ${percent} drop` : "";
      const rules = [
        // Made before it is deleted: deleting what is not there would fail.
        "table inet loss {}",
        "delete table inet loss",
        "table inet loss {",
        "chain in {",
        "type filter hook input priority 0",
        rule,
        "}",
        "}",
      ];
      await mustRun([...wrapper, "nft", "-f", "-"], { input: `${rules.join("\n")}\n` });
    },
    mend: async () => {
      const addresses = [...cut];
      cut.clear();
      for (const to of addresses) await ip("neigh", "del", to, "dev", "eth0");
    },
  };
}

/** Makes a network of `count` hosts, 10.77.x.11 and up; x is random, so that several tests can run at once. */
export async function makeNetwork(count: number): Promise<TestNetwork> {
  const tag = `slt${randomBytes(3).toString("hex")}`;
  const bridge = `${tag}b`;
  const subnet = `10.77.${(randomBytes(1)[0] ?? 0).toString()}`;
  const made: string[][] = [];
  const remove = async (): Promise<void> => {
    for (const command of made.splice(0).reverse()) await runCommand(command);
  };
  try {
    await mustRun(["ip", "link", "add", bridge, "type", "bridge"]);
    made.push(["ip", "link", "del", bridge]);
    await mustRun(["ip", "addr", "add", `${subnet}.1/24`, "dev", bridge]);
    await mustRun(["ip", "link", "set", bridge, "up"]);
    const hosts: NetworkHost[] = [];
    for (let at = 1; at <= count; at += 1) {
      const name = `${tag}n${at}`;
      const link = `${tag}v${at}`;
      const address = `${subnet}.${10 + at}`;
      await mustRun(["ip", "netns", "add", name]);
      made.push(["ip", "netns", "del", name]);
      await mustRun([
        "ip",
        "link",
        "add",
        link,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        name,
      ]);
      await mustRun(["ip", "link", "set", link, "master", bridge, "up"]);
      await mustRun(["ip", "-n", name, "addr", "add", `${address}/24`, "dev", "eth0"]);
      await mustRun(["ip", "-n", name, "link", "set", "eth0", "up"]);
      await mustRun(["ip", "-n", name, "link", "set", "lo", "up"]);
      hosts.push(makeHost(name, link, bridge, address));
    }
    return { address: `${subnet}.1`, hosts, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
