/**
 * Requests and answers over a simulated connection, as every client of the cluster has them: one connection to each peer, opened when it is
 * needed, answers in any order, and for each request one outcome: the answer, or why there is none.
 */
import type { End, Network } from "./network.ts";
import type { Machine, World } from "./world.ts";

/** Why a call has no answer. After `lost` and `timeout` nobody knows whether it was done. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  readonly kind: "refused" | "lost" | "timeout";

  constructor(kind: "refused" | "lost" | "timeout") {
    super(kind);
    this.kind = kind;
  }
}

interface Envelope {
  readonly id: number;
  readonly body: unknown;
}

/** Serves requests under a name: each is answered when its promise settles; one that rejects closes the connection. */
export function serve(
  world: World,
  network: Network,
  machine: Machine,
  service: string,
  handle: (request: unknown, clientId: number) => Promise<unknown>,
): void {
  network.listen(machine, service, (end) => {
    end.onMessage = (message) => {
      const { id, body } = message as Envelope;
      handle(body, end.peerId).then(
        (answer) => end.send({ id, body: answer } satisfies Envelope),
        (error: unknown) => {
          if (error instanceof CallFailure) end.close();
          else world.fail(error);
        },
      );
    };
  });
}

/** A client of one service of one machine. */
export class Caller {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #to: number;
  readonly #service: string;
  readonly #onDisconnected: (isRefused: boolean) => void;
  #end: End | null = null;
  #isConnecting = false;
  #nextId = 0;
  #unsent: Envelope[] = [];
  readonly #waiting: Map<
    number,
    { resolve: (answer: unknown) => void; reject: (why: Error) => void }
  > = new Map();

  /** @param onDisconnected - told when a connection ended, or one was refused. */
  constructor(
    network: Network,
    machine: Machine,
    to: number,
    service: string,
    onDisconnected: (isRefused: boolean) => void = () => {},
  ) {
    this.#network = network;
    this.#machine = machine;
    this.#to = to;
    this.#service = service;
    this.#onDisconnected = onDisconnected;
  }

  get isConnected(): boolean {
    return this.#end !== null;
  }

  /** @throws CallFailure */
  call(body: unknown, timeoutMs: number): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = this.#machine.after(timeoutMs, () => {
        this.#waiting.delete(id);
        reject(new CallFailure("timeout"));
        // What does not answer is not worth another request.
        this.disconnect();
      });
      this.#waiting.set(id, {
        resolve: (answer) => {
          timer.cancel();
          resolve(answer);
        },
        reject: (why) => {
          timer.cancel();
          reject(why);
        },
      });
      const envelope = { id, body };
      if (this.#end !== null) this.#end.send(envelope);
      else {
        this.#unsent.push(envelope);
        this.#connect();
      }
    });
  }

  disconnect(): void {
    this.#end?.close();
    this.#lose("lost");
  }

  #connect(): void {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    let isOver = false;
    const over = (): boolean => {
      const was = isOver;
      isOver = true;
      return was;
    };
    this.#machine.after(1000, () => {
      if (over()) return;
      this.#isConnecting = false;
      this.#lose("lost");
    });
    this.#network.connect(
      this.#machine,
      this.#to,
      this.#service,
      (end) => {
        if (over()) {
          end.close();
          return;
        }
        this.#isConnecting = false;
        this.#end = end;
        end.onMessage = (message) => this.#onAnswer(message as Envelope);
        end.onClose = () => {
          if (this.#end !== end) return;
          this.#lose("lost");
          this.#onDisconnected(false);
        };
        for (const envelope of this.#unsent) end.send(envelope);
        this.#unsent = [];
      },
      () => {
        if (over()) return;
        this.#isConnecting = false;
        this.#lose("refused");
        this.#onDisconnected(true);
      },
    );
  }

  #onAnswer({ id, body }: Envelope): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.resolve(body);
  }

  #lose(kind: "refused" | "lost"): void {
    this.#end = null;
    this.#unsent = [];
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(new CallFailure(kind));
  }
}
