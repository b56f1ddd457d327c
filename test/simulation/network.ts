/**
 * What lies between machines. Datagrams are late, lost, doubled and reordered. A connection is a pair of pipes, each in order: while its
 * direction is cut nothing arrives and nothing is lost, as with retransmission, until somebody gives up; a reset takes what is on the way. A
 * process that dies closes its connections and refuses new ones; a machine without power says nothing at all.
 */
import type { SeededRandom } from "./random.ts";
import type { Machine, World } from "./world.ts";

/** How the network is when nothing is cut. Chances are per message. */
export interface NetworkProfile {
  readonly delayMs: readonly [number, number];
  readonly slowChance: number;
  readonly slowMs: number;
  readonly lossChance: number;
  readonly duplicateChance: number;
}

/** One end of a connection. Callbacks run in the life of the machine that made it. */
export interface End {
  /** Machine at the other end. */
  readonly peerId: number;
  readonly isOpen: boolean;
  onMessage: (message: unknown) => void;
  /** The other end is closed or gone; not called for one's own `close`. */
  onClose: () => void;
  send(message: unknown): void;
  close(): void;
}

interface Pipe {
  readonly from: Machine;
  readonly to: Machine;
  readonly end: PipeEnd;
  lastArrivalMs: number;
  /** What waits for the direction to heal. */
  stalled: (() => void)[];
}

type Accept = (end: End) => void;

/** Ids of machines are below this. */
const MACHINES_MAX = 10_000;

/** One direction between two machines. */
function wayOf(from: number, to: number): number {
  return from * MACHINES_MAX + to;
}

/** See the head of the file. */
export class Network {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #cuts: Map<number, number> = new Map();
  readonly #slow: Map<number, number> = new Map();
  readonly #listeners: Map<string, { machine: Machine; life: number; accept: Accept }> = new Map();
  readonly #connections: Set<Connection> = new Set();
  readonly #machines: Map<number, Machine> = new Map();
  /** Machines without power: they do not even refuse. */
  readonly #dark: Set<number> = new Set();
  /** Who takes the datagrams of a machine. */
  readonly inboxes: Map<number, (from: number, bytes: Uint8Array) => void> = new Map();
  profile: NetworkProfile;

  constructor(world: World, profile: NetworkProfile) {
    this.#world = world;
    this.#random = world.random.split("network");
    this.profile = profile;
  }

  add(machine: Machine): void {
    this.#machines.set(machine.id, machine);
  }

  /** Stops what goes from one machine to another; cuts add up. */
  cut(from: number, to: number): void {
    const key = wayOf(from, to);
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
  }

  /** Takes back one cut of that direction; what waited goes on when there is none left. */
  mend(from: number, to: number): void {
    const key = wayOf(from, to);
    const held = this.#cuts.get(key);
    // All cuts may have been taken back meanwhile.
    if (held === undefined) return;
    const left = held - 1;
    if (left > 0) {
      this.#cuts.set(key, left);
      return;
    }
    this.#cuts.delete(key);
    for (const connection of this.#connections) connection.onMended(from, to);
  }

  /** Takes back every cut and every delay. */
  mendAll(): void {
    const cuts = [...this.#cuts.keys()];
    this.#cuts.clear();
    this.#slow.clear();
    for (const key of cuts) {
      const from = Math.floor(key / MACHINES_MAX);
      for (const connection of this.#connections) connection.onMended(from, key % MACHINES_MAX);
    }
  }

  /** Makes everything to and from a machine this much later; 0 ends it. */
  slow(machine: number, byMs: number): void {
    if (byMs === 0) this.#slow.delete(machine);
    else this.#slow.set(machine, byMs);
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(wayOf(from, to));
  }

  /** Sends a datagram: it arrives some time, never, or twice. */
  datagram(from: Machine, to: number, deliver: (target: Machine) => void): void {
    const target = this.#machines.get(to);
    if (target === undefined) return;
    const { lossChance, duplicateChance } = this.profile;
    const copies = this.#random.chance(duplicateChance) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const delayMs = this.#delayMs(from.id, to);
      if (this.#random.chance(lossChance) || this.isCut(from.id, to)) continue;
      this.#world.after(delayMs, () => {
        if (!target.isUp || this.isCut(from.id, to)) return;
        target.inThisLife(() => deliver(target))();
      });
    }
  }

  /** Accepts connections under a name while this life of the machine lasts. */
  listen(machine: Machine, service: string, accept: Accept): void {
    this.#listeners.set(`${machine.id}/${service}`, { machine, life: machine.life, accept });
  }

  /**
   * Connects. `onRefused` is told when nobody listens there; when the machine is dark or the way is cut nothing is told at all until that
   * changes, so that a caller needs a deadline of its own.
   */
  connect(
    from: Machine,
    to: number,
    service: string,
    onOpen: (end: End) => void,
    onRefused: () => void,
  ): void {
    const delayMs = this.#delayMs(from.id, to);
    const opened = from.inThisLife.bind(from);
    this.#world.after(delayMs, () => {
      if (!from.isUp) return;
      if (this.isCut(from.id, to) || this.isCut(to, from.id) || this.#dark.has(to)) return;
      const listener = this.#listeners.get(`${to}/${service}`);
      const isThere = listener?.machine.isUp === true && listener.machine.life === listener.life;
      const backMs = this.#delayMs(to, from.id);
      if (!isThere) {
        this.#world.after(backMs, opened(onRefused));
        return;
      }
      const connection = new Connection(this.#world, this, from, listener.machine);
      this.#connections.add(connection);
      // A paused process accepts by its kernel: the connection stands, and nobody answers.
      listener.machine.inThisLife(() => handOver(connection.ends[1], listener.accept))();
      this.#world.after(
        backMs,
        opened(() => handOver(connection.ends[0], onOpen)),
      );
    });
  }

  /** Tells peers of a machine that its process is gone, or leaves them in the dark with it. */
  onStopped(machine: Machine, isDark: boolean): void {
    if (isDark) this.#dark.add(machine.id);
    for (const connection of this.#connections) {
      if (!connection.hasEnd(machine)) continue;
      if (isDark) connection.abandon(machine);
      else connection.reset(machine);
    }
  }

  /** Power is back: what still believes in a connection from before is reset. */
  onStarted(machine: Machine): void {
    if (!this.#dark.delete(machine.id)) return;
    for (const connection of this.#connections) {
      if (connection.hasEnd(machine)) connection.reset(machine);
    }
  }

  /** Breaks the connections between two machines; what is on the way is lost. */
  reset(one: number, other: number): void {
    for (const connection of this.#connections) {
      if (connection.isBetween(one, other)) connection.reset(null);
    }
  }

  /** Time that a message takes now. */
  delayMs(from: number, to: number): number {
    return this.#delayMs(from, to);
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }

  #delayMs(from: number, to: number): number {
    const { delayMs, slowChance, slowMs } = this.profile;
    const extraMs = (this.#slow.get(from) ?? 0) + (this.#slow.get(to) ?? 0);
    const base = this.#random.between(delayMs[0], delayMs[1]) + extraMs;
    return this.#random.chance(slowChance) ? base + this.#random.between(0, slowMs) : base;
  }
}

/** Gives an end to who will use it. One that was closed on the way says so at once: nobody was there to be told. */
function handOver(end: PipeEnd, take: Accept): void {
  const isClosed = !end.isOpen;
  take(end);
  if (isClosed) end.onClose();
}

/** Two pipes that live and die together. */
class Connection {
  readonly ends: readonly [PipeEnd, PipeEnd];
  readonly #world: World;
  readonly #network: Network;
  readonly #pipes: readonly [Pipe, Pipe];
  #isBroken = false;

  constructor(world: World, network: Network, client: Machine, server: Machine) {
    this.#world = world;
    this.#network = network;
    this.ends = [new PipeEnd(this, server.id, client), new PipeEnd(this, client.id, server)];
    const [one, other] = this.ends;
    this.#pipes = [
      { from: client, to: server, end: other, lastArrivalMs: 0, stalled: [] },
      { from: server, to: client, end: one, lastArrivalMs: 0, stalled: [] },
    ];
  }

  hasEnd(machine: Machine): boolean {
    return this.ends[0].machine === machine || this.ends[1].machine === machine;
  }

  isBetween(one: number, other: number): boolean {
    const [left, right] = this.ends;
    return (
      (left.machine.id === one && right.machine.id === other) ||
      (left.machine.id === other && right.machine.id === one)
    );
  }

  send(from: PipeEnd, message: unknown): void {
    this.#carry(from, (end) => end.deliver(message));
  }

  /** An orderly close: what was sent before it arrives first. */
  close(from: PipeEnd): void {
    from.isOpen = false;
    this.#carry(from, (end) => end.closed());
    if (!this.ends[0].isOpen && !this.ends[1].isOpen) this.#network.forget(this);
  }

  /** Breaks it. The end at `silent` is not told: it is gone. */
  reset(silent: Machine | null): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#network.forget(this);
    for (const pipe of this.#pipes) {
      pipe.stalled = [];
      if (pipe.to === silent) {
        pipe.end.isOpen = false;
        continue;
      }
      this.#world.after(this.#network.delayMs(pipe.from.id, pipe.to.id), () => {
        if (!this.#network.isCut(pipe.from.id, pipe.to.id)) pipe.end.closed();
        // Told when something of it would have arrived: here, as if at the next retransmission after the cut.
        else this.#world.after(1000, () => pipe.end.closed());
      });
    }
  }

  /** One end lost its power: nothing of it is heard any more. */
  abandon(machine: Machine): void {
    for (const pipe of this.#pipes) {
      pipe.stalled = [];
      if (pipe.to === machine) pipe.end.isOpen = false;
    }
  }

  onMended(from: number, to: number): void {
    for (const pipe of this.#pipes) {
      if (pipe.from.id !== from || pipe.to.id !== to) continue;
      const { stalled } = pipe;
      pipe.stalled = [];
      for (const run of stalled) this.#arrive(pipe, run);
    }
  }

  #carry(from: PipeEnd, act: (end: PipeEnd) => void): void {
    const pipe = this.#pipes[from === this.ends[0] ? 0 : 1];
    if (this.#isBroken) return;
    this.#arrive(pipe, () => act(pipe.end));
  }

  #arrive(pipe: Pipe, run: () => void): void {
    const { from, to } = pipe;
    if (this.#network.isCut(from.id, to.id)) {
      pipe.stalled.push(run);
      return;
    }
    const delayMs = this.#network.delayMs(from.id, to.id);
    // Strictly after what was sent before it: events of one moment have no order.
    const atMs = Math.max(pipe.lastArrivalMs + 0.0001, this.#world.nowMs + delayMs);
    pipe.lastArrivalMs = atMs;
    this.#world.after(atMs - this.#world.nowMs, () => {
      if (this.#isBroken) return;
      if (this.#network.isCut(from.id, to.id)) pipe.stalled.push(run);
      else run();
    });
  }
}

/** One end; see {@link End}. */
class PipeEnd implements End {
  readonly #connection: Connection;
  readonly #life: number;
  readonly peerId: number;
  readonly machine: Machine;
  isOpen = true;
  onMessage: (message: unknown) => void = () => {};
  onClose: () => void = () => {};

  constructor(connection: Connection, peerId: number, machine: Machine) {
    this.#connection = connection;
    this.peerId = peerId;
    this.machine = machine;
    this.#life = machine.life;
  }

  send(message: unknown): void {
    if (this.isOpen) this.#connection.send(this, message);
  }

  close(): void {
    if (this.isOpen) this.#connection.close(this);
  }

  deliver(message: unknown): void {
    this.#inLife(() => {
      if (this.isOpen) this.onMessage(message);
    });
  }

  closed(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#inLife(() => this.onClose());
  }

  #inLife(run: () => void): void {
    if (this.machine.life === this.#life) this.machine.inThisLife(run)();
  }
}
