/**
 * What the active controller does from time to time: giving leadership back to preferred replicas, and electing unclean leaders where
 * topics allow that. Each has its interval, and begins a whole interval after this node became active.
 */
import type { BrokerConfig } from "#config/broker-config.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { DecisionInput } from "./decision.ts";
import { balanceLeaders, electUncleanLeaders } from "./elections.ts";

/** What one round writes. */
export type Round = (input: DecisionInput) => readonly MetadataRecord[];

/** See the head of the file. Times are monotonic milliseconds. */
export class Rounds {
  readonly #lastMs = new Map<Round, number>();

  /** Begins every interval anew. */
  restart(nowMs: number): void {
    for (const round of [balanceLeaders, electUncleanLeaders]) this.#lastMs.set(round, nowMs);
  }

  /** The rounds whose time has come; their intervals begin anew. */
  due(nowMs: number, config: BrokerConfig): Round[] {
    const due: Round[] = [];
    if (config.boolean("auto.leader.rebalance.enable")) {
      const intervalMs = config.number("leader.imbalance.check.interval.seconds") * 1000;
      if (this.#isDue(balanceLeaders, intervalMs, nowMs)) due.push(balanceLeaders);
    }
    const intervalMs = config.number("unclean.leader.election.interval.ms");
    if (this.#isDue(electUncleanLeaders, intervalMs, nowMs)) due.push(electUncleanLeaders);
    return due;
  }

  /** A round did as much as one may, and there may be more: it is due again at once. */
  repeat(round: Round): void {
    this.#lastMs.set(round, Number.NEGATIVE_INFINITY);
  }

  #isDue(round: Round, intervalMs: number, nowMs: number): boolean {
    const isDue = nowMs - (this.#lastMs.get(round) ?? nowMs) >= intervalMs;
    if (isDue) this.#lastMs.set(round, nowMs);
    return isDue;
  }
}
