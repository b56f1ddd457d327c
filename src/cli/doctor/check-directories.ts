/** The log directories: whether a broker can write there, how safe that is, and how fast. */
import { constants } from "node:fs";
import { access, open, readFile, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { existingAncestor, mountOf, spaceOf } from "../system/file-systems.ts";
import { currentUser, describeHolder, describeOwner, holderOfFile } from "../system/processes.ts";
import { formatBytes, formatDuration } from "../units.ts";
import { type Finding, finding } from "./finding.ts";

const FSYNC_COUNT = 5;
const FSYNC_BYTES = 4_096;
const SLOW_FSYNC_MS = 20;
const LOW_SPACE_BYTES = 1_073_741_824;
const NO_SPACE_BYTES = 67_108_864;
const LOCK_FILE = ".lock";
const CLOCK_SLACK_MS = 60_000;

const VOLATILE: ReadonlySet<string> = new Set(["tmpfs", "ramfs"]);
const NETWORK: ReadonlySet<string> = new Set([
  "nfs",
  "nfs4",
  "cifs",
  "smb3",
  "9p",
  "ceph",
  "fuse.sshfs",
  "glusterfs",
]);

/** Checks a directory; `nodeId` is the node that is to use it. */
export async function checkDirectory(
  directory: string,
  nodeId: number,
): Promise<readonly Finding[]> {
  const path = resolve(directory);
  const name = "directory";
  const existing = await existingAncestor(path);
  const findings: Finding[] = [];
  const info = await stat(path).catch(() => null);
  if (info !== null && !info.isDirectory())
    return [finding("fail", name, `${directory} is a file`, "Give another path in 'log.dirs'.")];
  const mount = await mountOf(existing);
  if (mount?.isReadOnly === true) {
    return [
      finding(
        "fail",
        name,
        `${directory}: the file system at ${mount.mountPoint} is read-only`,
        `To make it writable: mount -o remount,rw ${mount.mountPoint} (as root); if the kernel made it read-only, the disk has errors: see dmesg.`,
      ),
    ];
  }
  const isWritable = await access(existing, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isWritable) {
    const user = await currentUser();
    return [
      finding(
        "fail",
        name,
        `${directory}: no permission: ${existing} belongs to ${(await describeOwner(existing)) ?? "somebody else"}, and this is user ${user}`,
        `To give it to ${user}: chown -R ${user} ${existing} (as root)`,
      ),
    ];
  }
  const holder = info === null ? null : await holderOfFile(join(path, LOCK_FILE));
  findings.push(
    info === null
      ? finding("ok", name, `${directory} will be made in ${existing}`)
      : holder === null
        ? finding("ok", name, `${directory} exists and is writable`)
        : finding("ok", name, `${directory} is in use by ${describeHolder(holder)}`),
  );
  findings.push(...(await checkIdentity(directory, name, nodeId)));
  findings.push(await checkSpace(existing));
  if (mount !== null) findings.push(checkFileSystem(mount.type, mount.mountPoint));
  if (info !== null) findings.push(...(await checkTimes(path)), await checkFlush(path));
  return findings;
}

async function checkIdentity(
  directory: string,
  name: string,
  nodeId: number,
): Promise<readonly Finding[]> {
  const text = await readFile(join(directory, "meta.properties"), "utf8").catch(() => null);
  if (text === null) return [];
  const field = (key: RegExp): string | undefined => key.exec(text)?.[1]?.trim();
  const version = field(/^version\s*=\s*(.*)$/m);
  const owner = field(/^(?:node|broker)\.id\s*=\s*(.*)$/m);
  if (version !== "0" && version !== "1") {
    return [
      finding(
        "fail",
        name,
        `${directory}: meta.properties has version ${version ?? "none"}, this one knows 0 and 1`,
        "Start it with the version that wrote it, or a newer one.",
      ),
    ];
  }
  if (owner !== String(nodeId)) {
    return [
      finding(
        "fail",
        name,
        `${directory} belongs to node ${owner ?? "none"}, the configuration says ${nodeId}`,
        `To serve it: --override node.id=${owner ?? "ID"}`,
      ),
    ];
  }
  return [finding("ok", "cluster", field(/^cluster\.id\s*=\s*(.*)$/m) ?? "not told")];
}

async function checkSpace(existing: string): Promise<Finding> {
  const space = await spaceOf(existing);
  if (space === null) return finding("warn", "space", "not known");
  const text = `${formatBytes(space.freeBytes)} free of ${formatBytes(space.totalBytes)}`;
  if (space.freeBytes < NO_SPACE_BYTES)
    return finding("fail", "space", text, `Make room: du -xh ${existing} | sort -h | tail`);
  return space.freeBytes < LOW_SPACE_BYTES
    ? finding("warn", "space", text, "retention.bytes and retention.ms bound what topics keep.")
    : finding("ok", "space", text);
}

function checkFileSystem(type: string, mountPoint: string): Finding {
  const text = `${type} at ${mountPoint}`;
  if (VOLATILE.has(type))
    return finding(
      "warn",
      "file system",
      `${text}: in memory, gone after a restart of the machine`,
      "Give a directory on a disk in 'log.dirs'.",
    );
  if (NETWORK.has(type))
    return finding(
      "warn",
      "file system",
      `${text}: over the network, where locks and fsync may promise less`,
      "A local disk is safer and faster.",
    );
  if (type === "overlay")
    return finding(
      "warn",
      "file system",
      `${text}: a container's own layer, gone with the container`,
      "Mount a volume and name it in 'log.dirs'.",
    );
  return finding("ok", "file system", text);
}

/** Files from the future mean that the clock was set back, or is wrong now. */
async function checkTimes(path: string): Promise<readonly Finding[]> {
  const info = await stat(join(path, "recovery-point-offset-checkpoint")).catch(() => null);
  if (info === null || info.mtimeMs <= Date.now() + CLOCK_SLACK_MS) return [];
  return [
    finding(
      "warn",
      "clock",
      `the data was last written at ${new Date(info.mtimeMs).toISOString()}, which is still to come`,
      "Check the clock: retention goes by it.",
    ),
  ];
}

/** How long it takes until a small write is on the disk: what an `acks=all` waits for at least. */
async function checkFlush(path: string): Promise<Finding> {
  const file = join(path, `.sluice-doctor-${process.pid}`);
  try {
    const handle = await open(file, "wx");
    const times: number[] = [];
    try {
      for (let round = 0; round < FSYNC_COUNT; round += 1) {
        await handle.write(new Uint8Array(FSYNC_BYTES), 0, FSYNC_BYTES, round * FSYNC_BYTES);
        const startedMs = performance.now();
        await handle.datasync();
        times.push(performance.now() - startedMs);
      }
    } finally {
      await handle.close();
    }
    const median = times.toSorted((a, b) => a - b)[FSYNC_COUNT >> 1] ?? 0;
    const text = `${formatDuration(median)} (median of ${FSYNC_COUNT})`;
    return median > SLOW_FSYNC_MS
      ? finding(
          "warn",
          "fsync",
          `${text}: acks=all waits for it`,
          "A disk of its own, or one with a power-protected cache, is faster.",
        )
      : finding("ok", "fsync", text);
  } catch (error) {
    return finding("fail", "fsync", error instanceof Error ? error.message : String(error));
  } finally {
    await rm(file, { force: true });
  }
}
