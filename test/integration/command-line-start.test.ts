/** What a stranger is told when a start fails: what is wrong, and what to do. Each as a process. */
import { describe, expect, test } from "bun:test";
import { access, chmod, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sluice } from "../support/run-sluice.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

/** A free port, and no admin port: another test's broker may have that one. */
const FREE_PORT = [
  "--override",
  "listeners=PLAINTEXT://127.0.0.1:0",
  "--override",
  "sluice.admin.listener=",
];
const NOBODY = 65_534;

const startOn = (directory: string, ...more: readonly string[]): readonly string[] => [
  "start",
  ...FREE_PORT,
  "--override",
  `log.dirs=${directory}`,
  ...more,
];

const isRoot = process.geteuid?.() === 0;
/** The command itself is tried: below a private directory bun starts for somebody else, and can read nothing. */
const isCheckoutOpen = await access(import.meta.path, constants.R_OK).then(
  async () => {
    const prefix = ["setpriv", "--reuid", String(NOBODY), "--clear-groups"];
    return (await sluice(["--version"], { prefix })).exitCode === 0;
  },
  () => false,
);
const canMount = isRoot && Bun.spawnSync(["unshare", "--mount", "true"]).success;
if (!isRoot || !isCheckoutOpen)
  console.log(
    "start without permission: skipped, it needs root and a checkout that others may read",
  );
if (!canMount)
  console.log("start on full and read-only disks: skipped, mounts are not allowed here");

describe("a start that fails says what is wrong and what to do", () => {
  test("a directory that another broker has", async () => {
    await using other = await startBroker();
    const { exitCode, err } = await sluice(startOn(other.dataDir));
    expect([exitCode, err.replace(/by .* \(pid/, "by X (pid")]).toEqual([
      1,
      `sluice: cannot start: ${other.dataDir} is in use by X (pid ${process.pid})
        To end it: kill ${process.pid}, then wait until it is gone.
        To start a second broker: --override log.dirs=DIRECTORY --override listeners=PLAINTEXT://127.0.0.1:PORT
`,
    ]);
  });

  test("a directory of a newer version, left as it is", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "meta.properties");
    const text = "version=2\nnode.id=1\ncluster.id=x\n";
    await Bun.write(file, text);
    const { exitCode, err } = await sluice(startOn(directory.path));
    expect([exitCode, err, await Bun.file(file).text()]).toEqual([
      1,
      `sluice: cannot start: ${directory.path} was written by a newer version: its meta.properties has version 2, this one knows 0 and 1
        Start it with the version that wrote it, or a newer one. Nothing was changed.
        To start empty: --override log.dirs=DIRECTORY
`,
      text,
    ]);
  });

  test("a directory of another node", async () => {
    await using directory = await temporaryDirectory();
    await Bun.write(
      join(directory.path, "meta.properties"),
      "version=1\nnode.id=5\ncluster.id=IZ4CQMqRTyuUvS_uLm_rug\n",
    );
    const { exitCode, err } = await sluice(startOn(directory.path));
    expect([exitCode, err]).toEqual([
      1,
      `sluice: cannot start: ${directory.path}/meta.properties is of node 5, not 1
        To serve this directory: --override node.id=5, or node.id=5 in the file.
        To start another node: give it a directory of its own, --override log.dirs=DIRECTORY.
`,
    ]);
  });

  test("directories of two clusters", async () => {
    await using directory = await temporaryDirectory();
    for (const [name, cluster] of [
      ["a", "IZ4CQMqRTyuUvS_uLm_rug"],
      ["b", "GXOWsX1XQOKEDfUX_vc5rw"],
    ]) {
      await Bun.write(
        join(directory.path, name ?? "", "meta.properties"),
        `version=1\nnode.id=1\ncluster.id=${cluster}\n`,
      );
    }
    const { exitCode, err } = await sluice(startOn(`${directory.path}/a,${directory.path}/b`));
    expect([exitCode, err]).toEqual([
      1,
      `sluice: cannot start: ${directory.path}/b is of cluster GXOWsX1XQOKEDfUX_vc5rw, not IZ4CQMqRTyuUvS_uLm_rug
        The directories of one broker belong to one cluster: take the one that does not out of 'log.dirs'.
`,
    ]);
  });

  test("a file where the directory should be", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "data");
    await Bun.write(path, "");
    const { exitCode, err } = await sluice(startOn(path));
    expect([exitCode, err]).toEqual([
      1,
      `sluice: cannot start: ${path}: a file of this name, or above it, is in the way of the directory
        To keep the data elsewhere: --override log.dirs=DIRECTORY
`,
    ]);
  });

  test("an address that is not of this machine", async () => {
    await using directory = await temporaryDirectory();
    const { exitCode, err } = await sluice([
      "start",
      "--override",
      `log.dirs=${directory.path}`,
      "--override",
      "listeners=PLAINTEXT://192.0.2.1:21199",
    ]);
    expect([
      exitCode,
      err.startsWith("sluice: cannot start: cannot listen on PLAINTEXT://192.0.2.1:21199: "),
      err.endsWith(
        "        The host in 'listeners' has to be an address of this machine, or empty for all of them; ports below 1024 need root.\n",
      ),
    ]).toEqual([1, true, true]);
  });

  test.skipIf(!isRoot || !isCheckoutOpen)("a directory without permission", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "data");
    await chmod(directory.path, 0o755);
    await mkdir(path, { mode: 0o700 });
    const prefix = ["setpriv", "--reuid", String(NOBODY), "--clear-groups"];
    const { exitCode, err } = await sluice(startOn(join(path, "logs")), { prefix });
    expect([exitCode, err]).toEqual([
      1,
      `sluice: cannot start: ${path}/logs: no permission: ${path} belongs to root:root, mode 700, and this is user nobody
        To give it to nobody: chown -R nobody ${path} (as root)
        To keep the data elsewhere: --override log.dirs=DIRECTORY
`,
    ]);
  });

  test.skipIf(!canMount)("a disk that is full, and one that is read-only", async () => {
    await using directory = await temporaryDirectory();
    const { path } = directory;
    // The mount lives in a name space of its own and ends with it.
    const inside = (script: string): readonly string[] => [
      "unshare",
      "--mount",
      "sh",
      "-c",
      `mount -t tmpfs -o size=64k tmpfs ${path} && ${script} && exec "$@"`,
      "sh",
    ];
    const [full, readOnly] = await Promise.all([
      sluice(startOn(`${path}/d`), {
        prefix: inside(`{ head -c 100000 /dev/zero >${path}/f 2>/dev/null; true; }`),
      }),
      sluice(startOn(`${path}/d`), { prefix: inside(`mount -o remount,ro ${path}`) }),
    ]);
    expect([full, readOnly]).toEqual([
      {
        exitCode: 1,
        out: "",
        err: `sluice: cannot start: ${path}/d/meta.properties: there is no room left: 0 B of 64 KiB are free
        To see what takes it: du -xh ${path}/d | sort -h | tail
        To keep the data elsewhere: --override log.dirs=DIRECTORY
`,
      },
      {
        exitCode: 1,
        out: "",
        err: `sluice: cannot start: ${path}/d: the file system at ${path} is read-only
        To make it writable: mount -o remount,rw ${path} (as root); if the kernel made it read-only, the disk has errors: see dmesg.
        To keep the data elsewhere: --override log.dirs=DIRECTORY
`,
      },
    ]);
  });
});
