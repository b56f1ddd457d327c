/**
 * DescribeMembers, a private API: which other nodes the one that is asked hears, by its failure detector (SWIM). Kafka has no such thing to ask for, and
 * a broker that is not ours closes the connection. It is never advertised, and served on every listener, to anybody: it tells no more than DescribeCluster does.
 *
 * ```
 * request   nothing
 * response  nodeId int32 · isWatching boolean · [ nodeId int32 · state int8 · host string · port int32 ]
 * ```
 */
import type { ApiMessages } from "./api.ts";
import type { Reader } from "./codec/reader.ts";

/** Above any of Kafka's keys. */
export const DESCRIBE_MEMBERS_KEY = 32_003;

/** What a node thinks of another, in the order of their numbers on the wire. */
export const MEMBER_STATES = ["alive", "suspect", "down", "left"] as const;

/** See {@link MEMBER_STATES}. */
export type MemberState = (typeof MEMBER_STATES)[number];

/** A member other than the one that is asked. */
export interface DescribedMember {
  readonly nodeId: number;
  readonly state: MemberState;
  readonly host: string;
  readonly port: number;
}

/** The answer. */
export interface DescribeMembersResponse {
  /** Who was asked. */
  readonly nodeId: number;
  /** False on a node that has no failure detector: it is alone, or its port could not be had. */
  readonly isWatching: boolean;
  readonly members: readonly DescribedMember[];
}

const MEMBER_BYTES_MIN = 11;

/** Codecs. */
export const DescribeMembersApi: ApiMessages<null, DescribeMembersResponse> = {
  key: DESCRIBE_MEMBERS_KEY,
  name: "DescribeMembers",
  minVersion: 0,
  maxVersion: 0,
  firstFlexibleVersion: Infinity,
  isLatestVersionUnstable: false,
  request: { decode: () => null, encode: () => {} },
  response: {
    decode: (reader: Reader): DescribeMembersResponse => {
      const nodeId = reader.int32();
      const isWatching = reader.bool();
      const members: DescribedMember[] = [];
      const count = reader.arrayCount(MEMBER_BYTES_MIN);
      for (let index = 0; index < count; index += 1) {
        members.push({
          nodeId: reader.int32(),
          // A state of a later version: it is at least not known to be well.
          state: MEMBER_STATES[reader.int8()] ?? "suspect",
          host: reader.string(),
          port: reader.int32(),
        });
      }
      return { nodeId, isWatching, members };
    },
    encode(writer, { nodeId, isWatching, members }): void {
      writer.int32(nodeId);
      writer.bool(isWatching);
      writer.arrayCount(members.length);
      for (const member of members) {
        writer.int32(member.nodeId);
        writer.int8(MEMBER_STATES.indexOf(member.state));
        writer.string(member.host);
        writer.int32(member.port);
      }
    },
  },
};
