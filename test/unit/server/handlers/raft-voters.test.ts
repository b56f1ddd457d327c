/** What AddRaftVoter and RemoveRaftVoter refuse before the quorum is asked: codes, order and sentences as Kafka 4.4 gives them. */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { makeAddRaftVoterRequest } from "#protocol/generated/add-raft-voter.ts";
import { makeRemoveRaftVoterRequest } from "#protocol/generated/remove-raft-voter.ts";
import type { RequestContext } from "#server/handler.ts";
import {
  createAddRaftVoterHandler,
  createRemoveRaftVoterHandler,
  type VoterChanges,
} from "#server/handlers/raft-voters.ts";

const CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk";
const DIRECTORY = "sx69ofQQJcDlhUIHBV6W8w";
const context = { connection: { peerNodeId: -1 } } as RequestContext;

function voters(isLeader = true): { readonly voters: VoterChanges; readonly asked: unknown[] } {
  const asked: unknown[] = [];
  return {
    asked,
    voters: {
      clusterId: CLUSTER,
      listenerName: "CONTROLLER",
      isLeader: () => isLeader,
      add: (...args) => {
        asked.push(args);
        return Promise.resolve(null);
      },
      remove: (...args) => {
        asked.push(args);
        return Promise.resolve(null);
      },
    },
  };
}

const good = {
  clusterId: CLUSTER,
  voterId: 4,
  voterDirectoryId: DIRECTORY,
  listeners: [{ name: "CONTROLLER", host: "h", port: 9093 }],
};

describe("AddRaftVoter", () => {
  test("a good request reaches the quorum", async () => {
    const quorum = voters();
    const handler = createAddRaftVoterHandler(quorum);
    expect(await handler.handle(makeAddRaftVoterRequest(good), context)).toMatchObject({
      errorCode: 0,
    });
    const voter = { nodeId: 4, directoryId: DIRECTORY };
    expect(quorum.asked).toEqual([[voter, { name: "CONTROLLER", host: "h", port: 9093 }, true]]);
  });

  test.each([
    [
      { clusterId: "other", voterId: -1 },
      ErrorCode.INCONSISTENT_CLUSTER_ID,
      `The given id "other" doesn't match the cluster id "${CLUSTER}"`,
    ],
    [{ voterId: -1 }, ErrorCode.INVALID_REQUEST, "Add voter request didn't include a valid voter"],
    [
      { voterDirectoryId: ZERO_UUID },
      ErrorCode.INVALID_REQUEST,
      "Add voter request didn't include a valid voter",
    ],
    [
      { listeners: [] },
      ErrorCode.INVALID_REQUEST,
      "Add voter request didn't include the endpoint (Endpoints(endpoints={})) for the default listener ListenerName(CONTROLLER)",
    ],
  ])("%o is refused", async (changes, errorCode, errorMessage) => {
    const quorum = voters();
    const request = makeAddRaftVoterRequest({ ...good, ...changes });
    const answer = await createAddRaftVoterHandler(quorum).handle(request, context);
    expect(answer).toMatchObject({ errorCode, errorMessage });
    expect(quorum.asked).toEqual([]);
  });

  test("only the leader serves it", async () => {
    const handler = createAddRaftVoterHandler(voters(false));
    expect(await handler.handle(makeAddRaftVoterRequest(good), context)).toMatchObject({
      errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    });
  });
});

test("RemoveRaftVoter tells whether it was passed on", async () => {
  const quorum = voters();
  const handler = createRemoveRaftVoterHandler(quorum);
  const request = makeRemoveRaftVoterRequest(good);
  await handler.handle(request, context);
  await handler.handle(request, { connection: { peerNodeId: 2 } } as RequestContext);
  const voter = { nodeId: 4, directoryId: DIRECTORY };
  expect(quorum.asked).toEqual([
    [voter, false],
    [voter, true],
  ]);
});

test("a node by itself has fixed voters", async () => {
  const answer = await createRemoveRaftVoterHandler({ voters: null }).handle(
    makeRemoveRaftVoterRequest(good),
    context,
  );
  expect(answer).toMatchObject({
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    errorMessage: "Cluster doesn't support removing voter because the kraft.version feature is 0",
  });
});
