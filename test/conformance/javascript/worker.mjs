// The command loop that the JavaScript client programs share: one JSON command a line on standard input, one JSON
// answer a line on standard output. It runs unchanged on Node 20 and on Bun, which is why it is plain JavaScript.
// The protocol itself is described in ../README.md.
import { createInterface } from "node:readline";

/** Bytes from their base64 form; null stays null. */
export const bytes = (text) =>
  text === null || text === undefined ? null : Buffer.from(text, "base64");

/** The base64 form of bytes; null and undefined become null. */
export const text = (value) =>
  value === null || value === undefined ? null : Buffer.from(value).toString("base64");

/** Thrown by an operation that this client has no means for; the driver reports it as such. */
export class Unsupported extends Error {}

/** The value of `--name VALUE` on the command line, or the fallback. */
export function argument(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}

/** Answers commands with `operations[command.op](command)` until standard input ends. */
export async function serve(operations, close) {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    if (line.trim() === "") continue;
    const command = JSON.parse(line);
    let answer;
    try {
      const operation = operations[command.op];
      if (operation === undefined) throw new Unsupported(`no operation ${command.op}`);
      answer = { id: command.id, ok: true, ...(await operation(command)) };
    } catch (error) {
      answer =
        error instanceof Unsupported
          ? { id: command.id, ok: false, unsupported: error.message }
          : { id: command.id, ok: false, error: describe(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await close?.();
  process.exit(0);
}

function describe(error) {
  const parts = [];
  for (let at = error; at instanceof Error && parts.length < 5; at = at.cause ?? at.errors?.[0]) {
    parts.push(`${at.name}: ${at.message}`);
  }
  return parts.join(" <- ") || String(error);
}
