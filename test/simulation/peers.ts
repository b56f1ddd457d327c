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

/** What a raft connection begins with, both ways: which life of a node speaks. */
interface Hello {
  readonly incarnationId: string;
}

/** Told of what connections say of other nodes. */
export interface RaftChannelEvents {
  readonly receive: (from: number, bytes: Uint8Array) => void;
  /** A connection was lost, and making it anew was refused twice: the process is gone. */
  readonly onGone: (peer: number) => void;
  readonly onReached: (peer: number, incarnationId: string) => void;
}

const RAFT = "raft";
const CONNECT_TIMEOUT_MS = 500;
const REFUSED_PAUSE_MS = 20;

/** Where raft's messages go out; a connection that is not there yet swallows them, as raft allows. */
export class RaftChannel {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #hello: Hello;
  readonly #events: RaftChannelEvents;
  readonly #ends: Map<number, End> = new Map();
  readonly #connecting: Set<number> = new Set();
  /** Refusals in a row of peers that there was a connection to. */
  readonly #refusals: Map<number, number> = new Map();

  constructor(
    network: Network,
    machine: Machine,
    incarnationId: string,
    events: RaftChannelEvents,
  ) {
    this.#network = network;
    this.#machine = machine;
    this.#hello = { incarnationId };
    this.#events = events;
    network.listen(machine, RAFT, (end) => {
      end.send(this.#hello);
      end.onMessage = (message) => {
        if (message instanceof Uint8Array) events.receive(end.peerId, message);
        else events.onReached(end.peerId, (message as Hello).incarnationId);
      };
    });
  }

  send(to: number, bytes: Uint8Array): void {
    const end = this.#ends.get(to);
    if (end !== undefined) end.send(bytes);
    else this.#connect(to);
  }

  /** Whether a node answers on a connection of its own within the time. */
  ping(to: number, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#machine.after(timeoutMs, () => resolve(false));
      const settle = (isThere: boolean): void => {
        timer.cancel();
        resolve(isThere);
      };
      this.#network.connect(
        this.#machine,
        to,
        RAFT,
        (end) => {
          end.send(this.#hello);
          end.onMessage = () => {
            end.close();
            settle(true);
          };
          end.onClose = () => settle(false);
        },
        () => settle(false),
      );
    });
  }

  #connect(to: number): void {
    if (this.#connecting.has(to)) return;
    this.#connecting.add(to);
    let isOver = false;
    const over = (): boolean => {
      if (isOver) return true;
      isOver = true;
      this.#connecting.delete(to);
      return false;
    };
    this.#machine.after(CONNECT_TIMEOUT_MS, over);
    this.#network.connect(
      this.#machine,
      to,
      RAFT,
      (end) => {
        if (over()) end.close();
        else this.#onOpen(to, end);
      },
      () => {
        if (!over()) this.#onRefused(to);
      },
    );
  }

  #onOpen(to: number, end: End): void {
    this.#ends.set(to, end);
    this.#refusals.set(to, 0);
    end.send(this.#hello);
    end.onMessage = (message) => {
      if (!(message instanceof Uint8Array))
        this.#events.onReached(to, (message as Hello).incarnationId);
    };
    end.onClose = () => {
      if (this.#ends.get(to) !== end) return;
      this.#ends.delete(to);
      this.#connect(to);
    };
  }

  #onRefused(to: number): void {
    const refusals = this.#refusals.get(to);
    if (refusals === undefined) return;
    this.#refusals.set(to, refusals + 1);
    if (refusals + 1 === 2) this.#events.onGone(to);
    else if (refusals === 0) this.#machine.after(REFUSED_PAUSE_MS, () => this.#connect(to));
  }
}

/** Requests to other nodes. */
export class Peers {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #callers: Map<number, Caller> = new Map();

  constructor(network: Network, machine: Machine) {
    this.#network = network;
    this.#machine = machine;
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
      caller = new Caller(this.#network, this.#machine, to, "broker");
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
