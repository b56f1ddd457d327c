/** What library.test.ts runs on Node: appends, reads, follows, and prints what it saw as JSON. */
const [bundle, dir] = process.argv.slice(2);
const { openLog } = await import(bundle);

const shown = (record) => `${record.offset}:${Buffer.from(record.value).toString()}`;
const log = await openLog({ dir });
try {
  await log.append([{ value: "a" }, { value: "b" }]);
  await log.append([{ value: "c" }], { compression: "zstd" });
  const read = [...log.read(0)].map(shown);
  const tailed = [];
  // Nothing else keeps the process alive here: waiting has to.
  setTimeout(() => void log.append([{ value: "d" }]), 20);
  for await (const record of log.tail({ fromOffset: 2 })) {
    tailed.push(shown(record));
    if (tailed.length === 2) break;
  }
  let refused = "";
  try {
    log.read(99).next();
  } catch (error) {
    refused = error.code;
  }
  await log.flush();
  const { logStartOffset, logEndOffset, flushedOffset } = log.state();
  process.stdout.write(
    JSON.stringify({ read, tailed, refused, state: [logStartOffset, logEndOffset, flushedOffset] }),
  );
} finally {
  await log.close();
}
