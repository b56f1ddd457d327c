/**
 * What a person is told when the broker cannot start: who is in the way, and what to do. The codes come from the broker and the log; what
 * else can be known (who listens, who owns, who has the lock) is looked up here, after the fact.
 */
import { dirname } from "node:path";
import type { BrokerStartError } from "#broker/start-error.ts";
import { CommandError } from "../failure.ts";
import { mountOf, existingAncestor, spaceOf } from "../system/file-systems.ts";
import {
  currentUser,
  describeHolder,
  describeOwner,
  holderOfFile,
  holderOfPort,
} from "../system/processes.ts";
import { formatBytes } from "../units.ts";

const MAX_PORT = 65_535;
/** Error numbers of Linux, as they stand in the log's messages. */
const OsError = {
  ACCESS: 13,
  EXISTS: 17,
  NOT_A_DIRECTORY: 20,
  NO_SPACE: 28,
  READ_ONLY: 30,
  QUOTA: 122,
} as const;
const DOCTOR = "'sluice doctor', with the same arguments, checks ports, directories and limits.";

interface Explanation {
  /** Null: the broker's own words are the best there are. */
  readonly sentence: string | null;
  readonly remedies: readonly string[];
}

/** The failure of a start as the failure of the command. */
export async function explainStartFailure(error: BrokerStartError): Promise<CommandError> {
  const { sentence, remedies } = await explain(error);
  return new CommandError(`cannot start: ${sentence ?? error.message}`, remedies, error);
}

async function explain(error: BrokerStartError): Promise<Explanation> {
  const { code } = error;
  // A directory's own failure carries its code in front.
  const message = error.message.replace(/^[A-Z_]+: /, "");
  switch (code) {
    case "ADDRESS_IN_USE":
      return portTaken(message);
    case "ADDRESS_UNAVAILABLE":
      return {
        sentence: null,
        remedies: [
          "The host in 'listeners' has to be an address of this machine, or empty for all of them; ports below 1024 need root.",
        ],
      };
    case "LOG_DIR_LOCKED":
      return directoryLocked(message);
    case "LOG_DIR_NOT_WRITABLE":
      return directoryUnusable(message);
    case "META_PROPERTIES_INVALID":
      return identityUnreadable(message);
    case "NODE_ID_MISMATCH": {
      const nodeId = /is of node (-?\d+)/.exec(message)?.[1] ?? "ID";
      return {
        sentence: null,
        remedies: [
          `To serve this directory: --override node.id=${nodeId}, or node.id=${nodeId} in the file.`,
          "To start another node: give it a directory of its own, --override log.dirs=DIRECTORY.",
        ],
      };
    }
    case "CLUSTER_ID_MISMATCH":
      return {
        sentence: null,
        remedies: [
          "The directories of one broker belong to one cluster: take the one that does not out of 'log.dirs'.",
        ],
      };
    case "REGISTRATION_TIMEOUT":
      return {
        sentence: null,
        remedies: [
          "Most of the controllers have to run and be reachable: 'controller.quorum.voters', or 'controller.quorum.bootstrap.servers', says where.",
          "Each node has a 'node.id' of its own: a second process with the same one is not let in.",
        ],
      };
    case "CONFIG_INVALID":
      return { sentence: null, remedies: [] };
    default:
      return { sentence: null, remedies: [DOCTOR] };
  }
}

async function portTaken(message: string): Promise<Explanation> {
  const port = Number(/port (\d+) is taken/.exec(message)?.[1] ?? 0);
  const holder = await holderOfPort(port);
  const next = await freePortAfter(port);
  const sentence =
    holder === null
      ? null
      : message.replace("another program listens", `${describeHolder(holder)} listens`);
  return {
    sentence,
    remedies: [
      ...(next === null
        ? []
        : [`To listen elsewhere: --override listeners=PLAINTEXT://127.0.0.1:${next}`]),
      ...(holder === null ? [] : [`To end the other one: kill ${holder.pid}`]),
    ],
  };
}

async function freePortAfter(port: number): Promise<number | null> {
  for (let candidate = port + 1; candidate <= Math.min(port + 20, MAX_PORT); candidate += 1) {
    if ((await holderOfPort(candidate)) === null) return candidate;
  }
  return null;
}

async function directoryLocked(message: string): Promise<Explanation> {
  const path = /^(.*) is in use: another process holds its (\S+) file/.exec(message);
  const directory = path?.[1];
  const holder =
    directory === undefined ? null : await holderOfFile(`${directory}/${path?.[2] ?? ".lock"}`);
  return {
    sentence:
      holder === null || directory === undefined
        ? null
        : `${directory} is in use by ${describeHolder(holder)}`,
    remedies: [
      holder === null
        ? "A broker runs on this directory already; it has to be stopped first."
        : `To end it: kill ${holder.pid}, then wait until it is gone.`,
      "To start a second broker: --override log.dirs=DIRECTORY --override listeners=PLAINTEXT://127.0.0.1:PORT",
    ],
  };
}

async function directoryUnusable(message: string): Promise<Explanation> {
  const match = /(?:cannot (?:use|write) )?([^:;]+): [^:;]*\(os error (\d+)\)/.exec(message);
  const path = match?.[1] ?? ".";
  const osError = match === null ? 0 : Number(match[2]);
  const existing = await existingAncestor(path);
  const other = "To keep the data elsewhere: --override log.dirs=DIRECTORY";
  switch (osError) {
    case OsError.ACCESS: {
      const owner = await describeOwner(existing);
      const user = await currentUser();
      return {
        sentence: `${path}: no permission: ${existing} belongs to ${owner ?? "somebody else"}, and this is user ${user}`,
        remedies: [`To give it to ${user}: chown -R ${user} ${existing} (as root)`, other],
      };
    }
    case OsError.READ_ONLY: {
      const mount = await mountOf(existing);
      return {
        sentence: `${path}: the file system at ${mount?.mountPoint ?? existing} is read-only`,
        remedies: [
          `To make it writable: mount -o remount,rw ${mount?.mountPoint ?? existing} (as root); if the kernel made it read-only, the disk has errors: see dmesg.`,
          other,
        ],
      };
    }
    case OsError.NO_SPACE:
    case OsError.QUOTA: {
      const space = await spaceOf(existing);
      const free =
        space === null
          ? ""
          : `: ${formatBytes(space.freeBytes)} of ${formatBytes(space.totalBytes)} are free`;
      return {
        sentence: `${path}: there is no room left${free}`,
        remedies: [`To see what takes it: du -xh ${existing} | sort -h | tail`, other],
      };
    }
    case OsError.NOT_A_DIRECTORY:
    case OsError.EXISTS:
      return {
        sentence: `${path}: a file of this name, or above it, is in the way of the directory`,
        remedies: [other],
      };
    default:
      return { sentence: message, remedies: [other, DOCTOR] };
  }
}

function identityUnreadable(message: string): Explanation {
  const path = /^(\S+meta\.properties)/.exec(message)?.[1];
  const version = /version (\S+) is not known/.exec(message)?.[1];
  if (version !== undefined && path !== undefined) {
    return {
      sentence: `${dirname(path)} was written by a newer version: its meta.properties has version ${version}, this one knows 0 and 1`,
      remedies: [
        "Start it with the version that wrote it, or a newer one. Nothing was changed.",
        "To start empty: --override log.dirs=DIRECTORY",
      ],
    };
  }
  return {
    sentence: null,
    remedies: [
      "Every log directory has a meta.properties that says whose it is; put back the one from a backup.",
      "To start empty: --override log.dirs=DIRECTORY",
    ],
  };
}
