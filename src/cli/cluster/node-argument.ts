/** The node that a command is about, as it was typed. */
import { UsageError } from "../failure.ts";

const MAX_NODE_ID = 0x7f_ff_ff_ff;

/** @throws UsageError for what is no node id. */
export function readNodeId(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_NODE_ID) return Number(text);
  throw new UsageError(`NODE is a node id, as 'sluice cluster status' shows them, not '${text}'`);
}
