/**
 * How simulated nodes speak with each other: raft's messages one way over connections of their own, and everything else as requests with answers.
 * The messages themselves are production's; only their bytes are spared where a message is an object anyway.
 */
import type { ApiMessages } from "#protocol/api.ts";
import type { PeerConnection } from "#replica/following/ports.ts";
import type { End, Network } from "./network.ts";
import { Caller } from "./rpc.ts";
import type { Machine } from "./world.ts";

/** A request of one node to another, under the service `broker`. */
export interface PeerRequest {
  readonly kind: "peer";
  readonly api: number;
  readonly request: unknown;
}

/** Where raft's messages go out; a connection that is not there yet swallows them, as raft allows. */
export class RaftChannel {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #ends: Map<number, End> = new Map();
  readonly #connecting: Set<number> = new Set();

  constructor(
    network: Network,
    machine: Machine,
    receive: (from: number, bytes: Uint8Array) => void,
  ) {
    this.#network = network;
    this.#machine = machine;
    network.listen(machine, "raft", (end) => {
      end.onMessage = (message) => receive(end.peerId, message as Uint8Array);
    });
  }

  send(to: number, bytes: Uint8Array): void {
    const end = this.#ends.get(to);
    if (end !== undefined) end.send(bytes);
    else this.#connect(to);
  }

  #connect(to: number): void {
    if (this.#connecting.has(to)) return;
    this.#connecting.add(to);
    const over = (): boolean => !this.#connecting.delete(to);
    this.#machine.after(500, over);
    this.#network.connect(
      this.#machine,
      to,
      "raft",
      (end) => {
        if (over()) {
          end.close();
          return;
        }
        this.#ends.set(to, end);
        end.onClose = () => {
          if (this.#ends.get(to) === end) this.#ends.delete(to);
        };
      },
      // Not at once again: `over` ends with the deadline above.
      () => {},
    );
  }
}

/** Requests to other nodes. */
export class Peers {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #callers: Map<number, Caller> = new Map();
  readonly #onDisconnected: (peer: number, isRefused: boolean) => void;

  constructor(
    network: Network,
    machine: Machine,
    onDisconnected: (peer: number, isRefused: boolean) => void,
  ) {
    this.#network = network;
    this.#machine = machine;
    this.#onDisconnected = onDisconnected;
  }

  /** @throws CallFailure */
  async call<Req, Res>(
    to: number,
    api: ApiMessages<Req, Res>,
    request: Req,
    timeoutMs: number,
  ): Promise<Res> {
    let caller = this.#callers.get(to);
    if (caller === undefined) {
      caller = new Caller(this.#network, this.#machine, to, "broker", (isRefused) =>
        this.#onDisconnected(to, isRefused),
      );
      this.#callers.set(to, caller);
    }
    const body: PeerRequest = { kind: "peer", api: api.key, request };
    return (await caller.call(body, timeoutMs)) as Res;
  }

  /** A connection of its own, as fetchers have it. */
  connect(to: number): PeerConnection {
    let isOpen = true;
    const caller = new Caller(this.#network, this.#machine, to, "broker", () => {
      isOpen = false;
    });
    return {
      get isOpen() {
        return isOpen;
      },
      sendAt: async <Req, Res>(
        api: ApiMessages<Req, Res>,
        _version: number,
        request: Req,
        timeoutMs: number,
      ): Promise<Res> => {
        const body: PeerRequest = { kind: "peer", api: api.key, request };
        try {
          return (await caller.call(body, timeoutMs)) as Res;
        } catch (error) {
          isOpen = false;
          throw error;
        }
      },
      recycle: () => {},
      close: () => {
        isOpen = false;
        caller.disconnect();
      },
    };
  }
}
