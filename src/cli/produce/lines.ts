/**
 * Cuts a stream of bytes into lines without looking at them as text: what a line holds arrives as it is. A last line without its line
 * break counts; a line longer than the limit is an error, not a cut.
 */
import { CommandError } from "../failure.ts";

const LINE_FEED = 0x0a;

/** Lines without their line breaks, in bytes of their own. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let length = 0;
  const take = (part: Uint8Array): Uint8Array => {
    const line = new Uint8Array(length + part.length);
    let at = 0;
    for (const piece of [...parts, part]) {
      line.set(piece, at);
      at += piece.length;
    }
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      yield take(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.slice(start));
    length += chunk.length - start;
    if (length > maxLineBytes) {
      throw new CommandError(`a line is longer than ${maxLineBytes} bytes`, [
        "--whole takes an input as one record.",
      ]);
    }
  }
  if (length > 0) yield take(new Uint8Array(0));
}
