// What the JavaScript group members share: options, the lines they print, and the end of standard input, which asks them
// to leave. The lines are described in ../README.md.
import { argument } from "./worker.mjs";

export const options = JSON.parse(argument("member", "{}"));

/** Prints one event. */
export function say(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, at: Date.now(), ...fields })}\n`);
}

/** Prints what went wrong; members go on. */
export function failed(what, error) {
  say("failed", { what, error: `${error?.name}: ${error?.message}`.slice(0, 300) });
}

/** Resolves when the driver wants the member to leave. */
export const leaving = new Promise((resolve) => {
  process.stdin.on("end", resolve).on("close", resolve).resume();
});

/** `{ topic: [partition] }` or rows of topic and partitions as pairs. */
export const pairs = (assignment) =>
  (Array.isArray(assignment)
    ? assignment.map(({ topic, partitions }) => [topic, partitions])
    : Object.entries(assignment)
  ).flatMap(([topic, partitions]) => partitions.map((partition) => [topic, partition]));
