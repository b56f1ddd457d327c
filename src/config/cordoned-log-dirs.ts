/**
 * Which log directories take no new partitions (`cordoned.log.dirs`, KIP-1066), by the paths that `log.dirs` names them by; and what is
 * wrong with a value, in Kafka's words. What lies in such a directory stays there and is served.
 */
import type { BrokerConfig } from "./broker-config.ts";

/** The key. */
export const CORDONED_LOG_DIRS = "cordoned.log.dirs";

/** Stands for every log directory. */
const ALL = "*";

/** Log directories as they are configured. */
export function logDirsOf(config: BrokerConfig): readonly string[] {
  const dirs = config.list("log.dirs");
  return dirs.length > 0 ? dirs : config.list("log.dir");
}

/** Those of them that are cordoned; what is none of them counts for nothing. */
export function cordonedLogDirs(config: BrokerConfig): readonly string[] {
  const cordoned = config.list(CORDONED_LOG_DIRS);
  const dirs = logDirsOf(config);
  return cordoned.includes(ALL) ? dirs : dirs.filter((path) => cordoned.includes(path));
}

/** Why the value in force cannot be meant, or null. */
export function cordonError(config: BrokerConfig): string | null {
  const cordoned = config.list(CORDONED_LOG_DIRS);
  if (cordoned.includes(ALL)) {
    return cordoned.length === 1
      ? null
      : "When cordoned.log.dirs is set to *, it must not contain other values";
  }
  const dirs = logDirsOf(config);
  const missing = cordoned.filter((path) => !dirs.includes(path));
  return missing.length === 0
    ? null
    : `All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : ${missing.join(", ")}`;
}
