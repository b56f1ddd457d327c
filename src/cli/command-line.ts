/**
 * Which command was meant. Arguments are read by the runtime's own parser; there is too little of them for more.
 */
const USAGE = `Sluice, a broker for Apache Kafka clients

  sluice start [server.properties] [--override KEY=VALUE]...

Starts a broker. Without a file it listens on 127.0.0.1:9092 and keeps its data in ./data.

  --override KEY=VALUE   sets one configuration key, over what the file says
  --help                 shows this text
  --version              shows the version
`;

/** Runs the command that `args` name; sets the exit code where it fails. */
export async function runCommandLine(args: readonly string[], version: string): Promise<void> {
  const [command, ...rest] = args;
  if (args.includes("--version") || command === "version") {
    process.stdout.write(`sluice ${version}\n`);
    return;
  }
  if (
    command === undefined ||
    args.includes("--help") ||
    args.includes("-h") ||
    command === "help"
  ) {
    process.stdout.write(USAGE);
    return;
  }
  if (command !== "start") {
    process.stderr.write(`sluice: unknown command '${command}'\n\n${USAGE}`);
    process.exitCode = 1;
    return;
  }
  const { runStart } = await import("./start.ts");
  await runStart(rest);
}
