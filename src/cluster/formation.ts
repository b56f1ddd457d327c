/**
 * How nodes that were given the same list of controllers become one cluster without a step of formatting, and never two.
 *
 * A node that has a place in a quorum on its disk is not concerned: it goes on. One that has none asks everybody on the list:
 *
 * ```
 * somebody is a member of a cluster ───────────────► join it, without a vote
 * somebody does not answer ────────────────────────► wait: he may be a member
 * all answer, nobody is a member ──► one founds it: who has a metadata log of his own (the newest), else the lowest node id
 *                                    the others wait until he is a member
 * ```
 *
 * So a node that lost its disk never founds a cluster beside the one it belonged to, as long as anybody on the list remembers that one;
 * and it gets no vote back by itself, since it may have given it away before. Who founded a cluster gives each of the others on the
 * list a vote, once.
 */
import type { NodeReport } from "./quorum-probe.ts";

/** What a node is to do. */
export type FormationStep =
  /** Ask again; the sentence says for whom or what it waits. */
  | { readonly kind: "wait"; readonly why: string }
  /** Begin the cluster. A null id is to be drawn. */
  | {
      readonly kind: "found";
      readonly clusterId: string | null;
      readonly others: readonly number[];
    }
  | { readonly kind: "join"; readonly clusterId: string }
  /** Nothing good can come of it. */
  | { readonly kind: "refuse"; readonly why: string };

/** A controller on the list, and what was heard of it; `report` null when it did not answer. */
export interface Candidate {
  readonly address: string;
  /** The id the list gives it, or null where it names addresses only. */
  readonly nodeId: number | null;
  readonly report: NodeReport | null;
}

const refuse = (why: string): FormationStep => ({ kind: "refuse", why });
const wait = (why: string): FormationStep => ({ kind: "wait", why });

/** Decides what a node that is in no quorum does. */
export function decideFormation(
  own: NodeReport,
  isController: boolean,
  candidates: readonly Candidate[],
): FormationStep {
  const heard = candidates.flatMap(({ address, report }) =>
    report === null ? [] : [{ address, report }],
  );
  const members = heard.filter(({ report }) => report.state === "member");
  const [member] = members;
  if (member !== undefined) return join(own, member.report.clusterId, members);
  if (!isController) return wait("no controller belongs to a cluster yet");
  const stranger = candidates.find(
    ({ nodeId, report }) => nodeId !== null && report !== null && report.nodeId !== nodeId,
  );
  if (stranger !== undefined) {
    return refuse(
      `${stranger.address} is node ${stranger.report?.nodeId}, controller.quorum.voters calls it ${stranger.nodeId}`,
    );
  }
  const silent = candidates.filter(({ report }) => report === null);
  if (silent.length > 0) {
    const names = silent.map(({ address }) => address).join(", ");
    return wait(`no answer from ${names}: all controllers of a new cluster must be there once`);
  }
  return found(own, heard);
}

interface Heard {
  readonly address: string;
  readonly report: NodeReport;
}

function join(own: NodeReport, clusterId: string | null, members: readonly Heard[]): FormationStep {
  const other = members.find(({ report }) => report.clusterId !== clusterId);
  if (other !== undefined || clusterId === null) {
    const names = members.map(({ address, report }) => `${address} is of ${report.clusterId}`);
    return refuse(`the controllers belong to several clusters: ${names.join(", ")}`);
  }
  if (own.clusterId !== null && own.clusterId !== clusterId) {
    const holds = own.state === "alone" ? "holds the metadata of" : "belongs to";
    return refuse(
      `this node ${holds} cluster ${own.clusterId}, and the controllers belong to ${clusterId}: give it empty directories to join them`,
    );
  }
  return { kind: "join", clusterId };
}

/** Everybody answered, and nobody is a member. */
function found(own: NodeReport, heard: readonly Heard[]): FormationStep {
  const other = heard.find(({ report }) => report.quorum !== own.quorum);
  if (other !== undefined) {
    return wait(
      `${other.address} was given another list of controllers (${other.report.quorum}, here ${own.quorum})`,
    );
  }
  const nodes = new Map(heard.map(({ report }) => [report.incarnationId, report]));
  if (!nodes.has(own.incarnationId))
    return wait("this node's own controller is not on the list of controllers");
  const reports = [...nodes.values()].sort((left, right) => left.nodeId - right.nodeId);
  const twin = reports.find(({ nodeId }, index) => reports[index + 1]?.nodeId === nodeId);
  if (twin !== undefined) return refuse(`two controllers have the node id ${twin.nodeId}`);
  const ids = new Set(reports.flatMap(({ clusterId }) => (clusterId === null ? [] : [clusterId])));
  if (ids.size > 1) {
    const names = reports.map(({ nodeId, clusterId }) => `node ${nodeId}: ${clusterId ?? "none"}`);
    return refuse(`the directories belong to several clusters (${names.join(", ")})`);
  }
  const [founder] = [...reports].sort(
    (left, right) =>
      right.epoch - left.epoch || right.offset - left.offset || left.nodeId - right.nodeId,
  );
  if (founder?.nodeId !== own.nodeId)
    return wait(`node ${founder?.nodeId} is to begin the cluster`);
  const [clusterId = null] = ids;
  const others = reports.map(({ nodeId }) => nodeId).filter((nodeId) => nodeId !== own.nodeId);
  return { kind: "found", clusterId, others };
}
