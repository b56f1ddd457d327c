/**
 * The scripts that shells load. Each hands the words before the cursor to `sluice __complete` and shows what comes back; what may be
 * typed is decided there alone. They call `sluice` where the shell finds one, and otherwise the program that printed them, so that
 * they work in a checkout too. Names from the cluster may hold anything and are quoted before they reach the line.
 */
import bash from "./sluice.bash" with { type: "text" };
import fish from "./sluice.fish" with { type: "text" };
import zsh from "./sluice.zsh" with { type: "text" };

/** Shells that there is a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of `SHELLS`. */
export type Shell = (typeof SHELLS)[number];

/** The script for a shell. `launch` is the command line of this program. */
export function completionScript(shell: Shell, launch: readonly string[]): string {
  const quoted = launch.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(" ");
  return SCRIPTS[shell].replaceAll("@launch@", () => quoted);
}

const SCRIPTS: Readonly<Record<Shell, string>> = { bash, zsh, fish };
