/**
 * Raft nodes of the addon behind the interface of `raft.ts`: calls go through, what comes back as one packed array is read here
 * (`native/crates/binding/src/raft.rs` has the layout).
 *
 * One of the files that import the addon.
 */
import * as native from "#native";
import { RaftError } from "./raft.ts";
import type {
  CrashKind,
  RaftEntry,
  RaftMemberChange,
  RaftMessage,
  RaftNode,
  RaftNodeOptions,
  RaftReady,
  RaftRole,
  RaftSnapshot,
  RaftStatus,
} from "./raft.ts";
import { RaftRefusal } from "./raft.ts";

const ROLES: readonly RaftRole[] = ["follower", "candidate", "leader", "learner"];
const KINDS: readonly RaftEntry["kind"][] = ["none", "records", "members"];
const CRASHES: readonly CrashKind[] = ["keep-written", "lose-unsynced", "torn"];
const REFUSALS: readonly (readonly [string, RaftRefusal])[] = Object.entries(RaftRefusal);

const FLAG_NEEDS_PERSIST = 1;
const FLAG_WANTS_SNAPSHOT = 2;
const FLAG_HAS_SNAPSHOT = 4;

/** The addon's error as ours, code and message unchanged. */
function toRaftError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? new RaftError(code, error.message, { cause: error }) : error;
}

function coded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toRaftError(error);
  }
}

async function codedAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toRaftError(error);
  }
}

function toJson(options: RaftNodeOptions): string {
  const { firstSnapshot: _, ...rest } = options;
  return JSON.stringify(rest);
}

/**
 * Opens the node whose state is below `options.directory`, or begins a new one there, off this thread. Without a directory: in memory.
 *
 * @throws RaftError RAFT_CORRUPT (something is damaged or missing; every file is as it was), INVALID_ARGUMENT, DISK_FULL, RAFT_POISONED,
 * LOG_DIR_LOCKED, NODE_ID_MISMATCH, CLUSTER_ID_MISMATCH.
 */
export async function openRaftNode(options: RaftNodeOptions): Promise<RaftNode> {
  if (options.directory === null) return openMemoryRaftNode(options);
  const handle = await codedAsync(() =>
    native.openRaftNode(toJson(options), options.firstSnapshot ?? null),
  );
  return new NativeRaftNode(handle, options.id, false);
}

/**
 * Opens a node in memory, for tests and the simulator.
 *
 * @throws RaftError INVALID_ARGUMENT.
 */
export function openMemoryRaftNode(options: RaftNodeOptions): RaftNode {
  const handle = coded(() =>
    native.openMemoryRaftNode(toJson(options), options.firstSnapshot ?? null),
  );
  return new NativeRaftNode(handle, options.id, true);
}

/** Reads the packed array of a ready from front to back. The bytes it hands out are parts of the array. */
class ReadyReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  float64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  bytes(): Uint8Array {
    const length = this.uint32();
    const from = this.#advance(length);
    return this.#bytes.subarray(from, from + length);
  }

  #advance(count: number): number {
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

function unpack(bytes: Uint8Array): RaftReady {
  const reader = new ReadyReader(bytes);
  const role = ROLES[reader.uint8()] ?? "follower";
  const flags = reader.uint8();
  const leaderId = reader.float64();
  const term = reader.float64();
  const snapshot: RaftSnapshot | null =
    (flags & FLAG_HAS_SNAPSHOT) === 0
      ? null
      : { index: reader.float64(), term: reader.float64(), data: reader.bytes() };
  const messages: RaftMessage[] = [];
  for (let left = reader.uint32(); left > 0; left -= 1)
    messages.push({ to: reader.float64(), bytes: reader.bytes() });
  const committed: RaftEntry[] = [];
  for (let left = reader.uint32(); left > 0; left -= 1) {
    const index = reader.float64();
    const entryTerm = reader.float64();
    const kind = KINDS[reader.uint8()] ?? "none";
    committed.push({ index, term: entryTerm, kind, data: reader.bytes() });
  }
  return {
    messages,
    snapshot,
    committed,
    needsPersist: (flags & FLAG_NEEDS_PERSIST) !== 0,
    wantsSnapshot: (flags & FLAG_WANTS_SNAPSHOT) !== 0,
    leaderId,
    term,
    role,
  };
}

class NativeRaftNode implements RaftNode {
  readonly id: number;
  readonly #handle: number;
  readonly #isMemory: boolean;

  constructor(handle: number, id: number, isMemory: boolean) {
    this.#handle = handle;
    this.id = id;
    this.#isMemory = isMemory;
  }

  tick(): boolean {
    return native.raftTick(this.#handle);
  }

  step(bytes: Uint8Array, from = -1): RaftRefusal {
    return native.raftStep(this.#handle, bytes, from) as RaftRefusal;
  }

  admit(id: number): void {
    native.raftAdmit(this.#handle, id);
  }

  propose(data: Uint8Array): number {
    return native.raftPropose(this.#handle, data);
  }

  proposeMembers(changes: readonly RaftMemberChange[]): number {
    return coded(() => native.raftProposeMembers(this.#handle, JSON.stringify(changes)));
  }

  campaign(): void {
    native.raftCampaign(this.#handle);
  }

  transferTo(id: number): void {
    native.raftTransferTo(this.#handle, id);
  }

  reportUnreachable(id: number): void {
    native.raftReportUnreachable(this.#handle, id);
  }

  ready(): RaftReady | null {
    const packed = native.raftReady(this.#handle);
    return packed === null ? null : unpack(packed);
  }

  needsPersist(): boolean {
    return native.raftNeedsPersist(this.#handle);
  }

  persist(): Promise<void> | void {
    if (this.#isMemory) coded(() => native.raftPersistNow(this.#handle));
    else return codedAsync(() => native.raftPersist(this.#handle));
  }

  persisted(): RaftReady {
    return unpack(native.raftPersisted(this.#handle));
  }

  snapshot(index: number, data: Uint8Array): boolean {
    return native.raftSnapshot(this.#handle, index, data);
  }

  status(): RaftStatus {
    const status = JSON.parse(native.raftStatus(this.#handle)) as Omit<RaftStatus, "refused"> & {
      refused: readonly number[];
    };
    const refused = REFUSALS.filter(([, code]) => code !== RaftRefusal.NONE).map(
      ([name, code]) => [name, status.refused[code] ?? 0] as const,
    );
    return { ...status, refused: Object.fromEntries(refused) };
  }

  crash(kind: CrashKind, seed: number): RaftNode {
    const handle = coded(() => native.raftCrash(this.#handle, CRASHES.indexOf(kind), seed));
    return new NativeRaftNode(handle, this.id, true);
  }

  close(): Promise<void> {
    return codedAsync(() => native.raftClose(this.#handle));
  }
}
