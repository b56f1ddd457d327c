/**
 * What differs between two brokers of the same state and says nothing: addresses, ids that brokers and clients make up, the time, directories,
 * sizes on disk. Ids keep their length, so that the columns of tables stay where they are.
 */

/** What is known of the broker that printed. */
export interface Place {
  readonly bootstrap: string;
  readonly dataDirectory: string;
  readonly scratchDirectory: string;
}

/** Whether an id is random (a UUID of version 4 as Kafka writes them), rather than a word as long. */
function isMadeUp(text: string): boolean {
  const bytes = Buffer.from(text, "base64url");
  return ((bytes[6] ?? 0) & 0xf0) === 0x40 && ((bytes[8] ?? 0) & 0xc0) === 0x80;
}

/** Lines of an error output that say something: no stack frames, no exit of ours, no page of usage. */
export function errorLines(text: string): string[] {
  const lines = text.split(/\r?\n/);
  const usage = lines.findIndex((line) => /^Option +Description/.test(line));
  return lines
    .slice(0, usage < 0 ? undefined : usage)
    .filter(
      (line) => line.trim() !== "" && !isFrame(line) && !/^(Tools\$Ended: )?exit \d$/.test(line),
    );
}

const isFrame = (line: string): boolean => /^\s+(at |\.\.\. \d+ more)/.test(line);

/** One output with what says nothing replaced. */
export function normalize(text: string, place: Place, isUnordered: boolean): string {
  const port = place.bootstrap.slice(place.bootstrap.indexOf(":") + 1);
  const plain = text
    .replaceAll("\r\n", "\n")
    // Formatters of internal topics put no line feed between records.
    .replaceAll('}{"key"', '}\n{"key"')
    .replaceAll(place.dataDirectory, "DATA")
    .replaceAll(place.scratchDirectory, "SCRATCH")
    .replaceAll(place.bootstrap, "HOST:PORT")
    .replaceAll(`:${port}`, ":PORT")
    .replaceAll(new RegExp(`\\b${port}\\b`, "g"), "PORT")
    // Member ids of both protocols end in a UUID of Java or are an id of Kafka.
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "U".repeat(36))
    .replaceAll(/(?<![\w-])[\w-]{22}(?![\w-])/g, (text) => (isMadeUp(text) ? "I".repeat(22) : text))
    .replaceAll(/\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]/g, "[TIME]")
    .replaceAll(/\b1[78]\d{11}\b/g, "T".repeat(13))
    .replaceAll(/"size":\d+/g, '"size":N')
    // The length of the metadata log.
    .replaceAll(/(Epoch: |HighWatermark: +)\d+/g, "$1N")
    .replaceAll(/^(\d+ +\t[\w-]{22}\t)\d+ +\t/gm, "$1N\t")
    .replaceAll(/(CONTROLLER:\/\/127\.0\.0\.1:)\d+/g, "$1PORT")
    // Padded to the width of its column, so the more digits the fewer spaces.
    .replaceAll(/\b\d+ ms ago */g, "N ms ago")
    .trimEnd();
  const lines = plain.split("\n").filter((line) => !isFrame(line));
  return (isUnordered ? lines.map((line) => line.trimEnd()).sort() : lines).join("\n");
}
