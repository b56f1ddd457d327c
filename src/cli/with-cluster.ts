/** The work of a command with a cluster: connected for it, closed after it, and failures of the client told as the command's own. */
import { type Address, formatAddress, parseAddresses } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { Cluster } from "#client/cluster.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterArguments } from "./cluster-options.ts";
import { CommandError, UsageError } from "./failure.ts";

/** The addresses of `--bootstrap`. */
export function readBootstrap(text: string): readonly Address[] {
  const addresses = parseAddresses(text);
  if (addresses === null)
    throw new UsageError(`--bootstrap wants HOST:PORT, several with commas between, not '${text}'`);
  return addresses;
}

/**
 * Connects, runs `work` with the cluster, and closes it.
 *
 * @throws CommandError in place of every ClientError.
 */
export async function withCluster<T>(
  options: ClusterArguments,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const bootstrap = readBootstrap(options.bootstrap);
  let cluster: Cluster;
  try {
    cluster = await Cluster.connect({ bootstrap, clientId: "sluice-cli" });
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    throw new CommandError(
      error.message,
      [
        `Is a broker running there? 'sluice start' starts one on 127.0.0.1:9092, 'sluice doctor' checks it.`,
        `--bootstrap HOST:PORT says where it is (now ${bootstrap.map(formatAddress).join(",")}).`,
      ],
      error,
    );
  }
  try {
    return await work(cluster);
  } catch (error) {
    throw error instanceof ClientError ? asCommandError(error) : error;
  } finally {
    cluster.close();
  }
}

const REMEDIES: Readonly<Record<number, readonly string[]>> = {
  [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]: [
    "'sluice topic list' shows what exists, 'sluice topic create NAME' makes a topic.",
  ],
  [ErrorCode.TOPIC_ALREADY_EXISTS]: ["--if-not-exists takes that for success."],
  [ErrorCode.INVALID_REPLICATION_FACTOR]: [
    "The replication factor cannot be larger than the number of brokers.",
  ],
  [ErrorCode.GROUP_ID_NOT_FOUND]: ["'sluice group list' shows what exists."],
  [ErrorCode.NON_EMPTY_GROUP]: [
    "It has members: stop them first, 'sluice group describe GROUP --members' shows who they are.",
  ],
  [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC]: [
    "Members of the group read the topic: stop them first, or let them subscribe to something else.",
  ],
  [ErrorCode.UNKNOWN_MEMBER_ID]: ["The group has members: only they commit its offsets."],
  [ErrorCode.MESSAGE_TOO_LARGE]: [
    "The topic's max.message.bytes says how large a batch may be; --compression makes batches smaller.",
  ],
};

/** A failure of the client as one of the command, with what can be done about it. */
export function asCommandError(error: ClientError): CommandError {
  return new CommandError(error.message, REMEDIES[error.errorCode] ?? [], error);
}
