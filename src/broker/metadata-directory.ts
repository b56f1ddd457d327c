/**
 * Which directory of a node holds its metadata: its id tells this member of the quorum from another one that the node was before it lost
 * its disk (KIP-853). It is the id in the directory's `meta.properties`, which Kafka's tools read as well.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { StoreReport } from "#log/log.ts";
import { BrokerStartError } from "./start-error.ts";
import { SYSTEM_RANDOM } from "./system-ports.ts";

const META_FILE = "meta.properties";

/**
 * The id of the metadata directory. One that is no log directory gets a `meta.properties` of its own.
 *
 * @throws BrokerStartError META_PROPERTIES_INVALID, CLUSTER_ID_MISMATCH.
 */
export async function metadataDirectoryId(
  { metadataLogDir, nodeId, sluiceInMemory }: BrokerSettings,
  { clusterId, dirs }: Pick<StoreReport, "clusterId" | "dirs">,
): Promise<string> {
  const known = dirs.find(({ path }) => path === metadataLogDir);
  if (known !== undefined) return known.directoryId;
  if (sluiceInMemory) return SYSTEM_RANDOM.uuid();
  const path = join(metadataLogDir, META_FILE);
  const text = await readFile(path, "latin1").catch(() => null);
  if (text !== null) {
    const id = /^\s*directory\.id\s*[=:]\s*(\S+)\s*$/m.exec(text)?.[1];
    const cluster = /^\s*cluster\.id\s*[=:]\s*(\S+)\s*$/m.exec(text)?.[1];
    if (id === undefined)
      throw new BrokerStartError("META_PROPERTIES_INVALID", `${path}: there is no directory.id`);
    if (cluster !== undefined && cluster !== clusterId) {
      const message = `${metadataLogDir} is of cluster ${cluster}, not ${clusterId}`;
      throw new BrokerStartError("CLUSTER_ID_MISMATCH", message);
    }
    return id;
  }
  const id = SYSTEM_RANDOM.uuid();
  const lines = ["version=1", `cluster.id=${clusterId}`, `node.id=${nodeId}`, `directory.id=${id}`];
  await mkdir(metadataLogDir, { recursive: true });
  await writeFile(`${path}.tmp`, `${lines.join("\n")}\n`, { flush: true });
  await rename(`${path}.tmp`, path);
  return id;
}
