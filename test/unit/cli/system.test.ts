/** What `/proc` says, read from its text. */
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { findMount } from "#cli/system/file-systems.ts";
import { holderOfFile, holderOfPort, listeningInodes } from "#cli/system/processes.ts";

test("the sockets that listen on a port", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0 10 0
   1: 0100007F:2384 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0000 20 4 30 10 -1
   2: 00000000:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 888 1 0000 100 0 0 10 0
`;
  expect([
    listeningInodes(table, 9092),
    listeningInodes(table, 9093),
    listeningInodes(table, 1),
  ]).toEqual([["12345"], ["888"], []]);
});

test("the innermost mount, the last one of a place, and read-only by either option", () => {
  const table = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:30 / /data rw - tmpfs tmpfs rw,size=64k
23 21 8:2 / /data ro,relatime - xfs /dev/sdb rw
24 21 8:3 / /with\\040space rw - nfs4 host:/x ro
`;
  expect(
    ["/database", "/data/x", "/data", "/with space/y"].map((path) => findMount(table, path)),
  ).toEqual([
    { mountPoint: "/", type: "ext4", isReadOnly: false },
    { mountPoint: "/data", type: "xfs", isReadOnly: true },
    { mountPoint: "/data", type: "xfs", isReadOnly: true },
    { mountPoint: "/with space", type: "nfs4", isReadOnly: true },
  ]);
});

test("nobody holds what nobody holds", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  expect([await holderOfPort(port), await holderOfFile("/no/such/file")]).toEqual([null, null]);
});
