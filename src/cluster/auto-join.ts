/**
 * A controller that makes itself a voter (`controller.quorum.auto.join.enable`, KIP-1186): as soon as it follows the quorum it asks the
 * leader for a vote, again and again until it has one. A voter of its id with another directory is what it was before it lost its
 * disk: that one's vote is given back first.
 */
import { type ControllerChannel, ControllerUnavailableError } from "#cluster/controller-channel.ts";
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import type { Scheduler, Timer } from "#common/time.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import { AddRaftVoterApi, makeAddRaftVoterRequest } from "#protocol/generated/add-raft-voter.ts";
import {
  makeRemoveRaftVoterRequest,
  RemoveRaftVoterApi,
} from "#protocol/generated/remove-raft-voter.ts";
import type { QuorumMember } from "#quorum/quorum-members.ts";

const ASK_MS = 500;
const ANSWER_TIMEOUT_MS = 5_000;

/** What it works with. */
export interface AutoJoinOptions {
  readonly clusterId: string;
  readonly self: () => QuorumMember;
  /** Whether this node follows the quorum and has no vote. */
  readonly isObserver: () => boolean;
  /** Voters with the id of this node. */
  readonly namesakes: () => readonly QuorumMember[];
  readonly channel: ControllerChannel;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** See the head of the file. */
export class AutoJoin {
  readonly #options: AutoJoinOptions;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(options: AutoJoinOptions) {
    this.#options = options;
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.scheduler.after(ASK_MS, () => {
      if (!this.#options.isObserver()) return this.#arm();
      this.#ask().then(
        () => this.#arm(),
        (error: unknown) => {
          if (!(error instanceof ControllerUnavailableError))
            this.#options.logger.warn("cannot ask for a vote", errorFields(error));
          this.#arm();
        },
      );
    });
  }

  async #ask(): Promise<void> {
    const { clusterId, channel, logger } = this.#options;
    const { nodeId, directoryId, listener, host, port } = this.#options.self();
    const timeout = { timeoutMs: ANSWER_TIMEOUT_MS, isRepeatable: true };
    for (const before of this.#options.namesakes()) {
      const request = makeRemoveRaftVoterRequest({
        clusterId,
        voterId: nodeId,
        voterDirectoryId: before.directoryId,
      });
      await channel.send(RemoveRaftVoterApi, 0, request, timeout);
    }
    const request = makeAddRaftVoterRequest({
      clusterId,
      timeoutMs: ANSWER_TIMEOUT_MS,
      voterId: nodeId,
      voterDirectoryId: directoryId,
      listeners: [{ name: listener, host, port }],
      ackWhenCommitted: false,
    });
    const { errorCode } = await channel.send(AddRaftVoterApi, 1, request, timeout);
    if (errorCode !== ErrorCode.NONE)
      logger.debug("no vote yet", { error: errorInfo(errorCode).name });
  }
}
