/**
 * What a case of the corpus is: bytes for one fresh connection, told in turns. A turn is written, its replies are collected,
 * and the next turn may depend on them (a session id, a producer id). After the last turn the runner looks at the socket.
 *
 * ```ts
 * const CASES: Case[] = [
 *   one("framing/size zero", rawFrame(0)),
 *   conversation("fetch/session goes on", function* (place) {
 *     const [opened] = yield ask(FetchApi, 11, makeFetchRequest({ sessionEpoch: 0, … }));
 *     yield ask(FetchApi, 11, makeFetchRequest({ sessionId: sessionOf(opened), … }));
 *   }),
 * ];
 * ```
 */

/** What a case may name: everything here is the run's own, and of the same length in every run. */
export interface Place {
  /** Unique to the run; eight characters. */
  readonly run: string;
  /** The case's own topic, or the shared one (two partitions, three records in partition 0), and its id. */
  readonly topic: string;
  readonly topicId: string;
  /** A group, or transactional id, of the case's own. */
  readonly group: string;
  /** Id of the cluster, for the requests that must name it. */
  readonly clusterId: string;
}

/** One reply, decoded by our codec where that is possible. */
export interface Reply {
  readonly correlationId: number;
  /** Version in which the message was read, -1 where that is not known. */
  readonly apiVersion: number;
  /** The message, or null when the bytes are not what the version of the request calls for. */
  readonly message: Readonly<Record<string, unknown>> | null;
}

/** Bytes to write and the replies to expect before going on. */
export interface Turn {
  /** Written one after another, each in a segment of its own. */
  readonly writes: readonly Uint8Array[];
  /** Frames after which the turn is over; fewer come when there is nothing to answer, or the connection closes. */
  readonly replies: number;
}

/** A turn that waits a moment: what Kafka's controller has answered reaches its brokers a little later. */
export const SETTLE: Turn = { writes: [], replies: 0 };

/** Turns in order; each `yield` gives the replies of the turn. */
export type Play = Generator<Turn, void, readonly Reply[]>;

/** How a case looks at the socket after its last turn. */
export type Ending =
  /** A valid request follows: answered means open. */
  | "probe"
  /** The client sends FIN and reads until the broker does. */
  | "finish"
  /** A frame is incomplete: neither an answer nor an end is due. */
  | "idle";

/** A topic made for one case before it runs. */
export interface OwnTopic {
  readonly partitions: number;
  readonly configs: Readonly<Record<string, string>>;
}

/** What a case costs a broker. */
export type Cost =
  /** Next to nothing. */
  | "light"
  /** Enough to hold up others: such cases run one after another, at the end. */
  | "costly"
  /** Too much for a broker that others use: run with `--heavy`. */
  | "heavy";

/** One case. */
export interface Case {
  /** Subject, a slash, and what is odd about the bytes. */
  readonly name: string;
  readonly ending: Ending;
  /** A topic of its own, for a case that writes; the shared one without. */
  readonly own: OwnTopic | null;
  readonly cost: Cost;
  /** Makes what takes long to make, before the clocks run. */
  prepare(): void;
  play(place: Place): Play;
}

/** Everything but name and play may be left out. */
export interface CaseOptions {
  readonly ending?: Ending;
  readonly own?: Partial<OwnTopic> | null;
  readonly cost?: Cost;
  readonly prepare?: () => void;
}

/** A case of several turns. */
export function conversation(
  name: string,
  play: (place: Place) => Play,
  options: CaseOptions = {},
): Case {
  const { ending = "probe", own = null, cost = "light", prepare = (): void => {} } = options;
  return {
    name,
    play,
    ending,
    cost,
    prepare,
    own: own === null ? null : { partitions: 1, configs: {}, ...own },
  };
}

/** What one turn may be given as: bytes, or bytes that depend on the place. */
export type Content = Turn | ((place: Place) => Turn);

/** A case of one turn. */
export function one(name: string, content: Content, options: CaseOptions = {}): Case {
  return several(name, [content], options);
}

/** A case of turns that do not depend on each other's replies. */
export function several(
  name: string,
  contents: readonly Content[],
  options: CaseOptions = {},
): Case {
  return conversation(
    name,
    function* (place) {
      for (const content of contents) {
        yield typeof content === "function" ? content(place) : content;
      }
    },
    options,
  );
}

/** Subject of a case: the part of its name before the slash. */
export function subjectOf(name: string): string {
  return name.slice(0, name.indexOf("/"));
}
