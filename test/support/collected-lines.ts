/**
 * The lines of a stream, gathered while it runs.
 *
 *     const lines = collectedLines(child.stdout);
 *     await until(() => lines.length >= 3, 10_000, () => "…");
 */

/** Lines as they are complete; grows until the stream ends. */
export function collectedLines(stream: ReadableStream<Uint8Array>): readonly string[] {
  const lines: string[] = [];
  void (async () => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
    }
  })();
  return lines;
}
