/**
 * Many connections from one process, each a raw socket that sends what it is told and reads, or does not read, what comes. They leave
 * from several loopback addresses, since one address has ports for fewer than thirty thousand.
 */
import { connect, type Socket } from "node:net";

const ADDRESSES = 5;
/** Connections opened at a time: more would overflow the backlog of a listener. */
const OPENING = 64;

/** One of the crowd. */
export interface Member {
  readonly socket: Socket;
  isOpen: boolean;
  receivedBytes: number;
  /** The start of what came. */
  received: Uint8Array;
}

/** Open connections, closed together. */
export class Crowd implements Disposable {
  readonly members: Member[] = [];

  /** Connections that are still open. */
  get openCount(): number {
    return this.members.filter(({ isOpen }) => isOpen).length;
  }

  /**
   * Opens `count` connections; one that is refused counts as closed. With `isStalled` they never read.
   *
   * @param keepBytes - how much of what comes is kept.
   */
  async open(address: string, count: number, isStalled = false, keepBytes = 64): Promise<void> {
    const colon = address.lastIndexOf(":");
    const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))];
    let next = 0;
    const openSome = async (): Promise<void> => {
      while (next < count) {
        const localAddress = `127.0.0.${2 + (next++ % ADDRESSES)}`;
        this.members.push(await openOne(host, port, localAddress, isStalled, keepBytes));
      }
    };
    await Promise.all(Array.from({ length: Math.min(OPENING, count) }, openSome));
  }

  /** Sends the same bytes on every connection. */
  send(bytes: Uint8Array): void {
    for (const { socket, isOpen } of this.members) if (isOpen) socket.write(bytes);
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.members) socket.destroy();
  }
}

function openOne(
  host: string,
  port: number,
  localAddress: string,
  isStalled: boolean,
  keepBytes: number,
): Promise<Member> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress, noDelay: true });
    const member: Member = { socket, isOpen: false, receivedBytes: 0, received: new Uint8Array(0) };
    socket.on("connect", () => {
      member.isOpen = true;
      if (isStalled) socket.pause();
      resolve(member);
    });
    if (!isStalled) {
      socket.on("data", (chunk: Uint8Array) => {
        member.receivedBytes += chunk.length;
        if (member.received.length < keepBytes) {
          member.received = new Uint8Array(Buffer.concat([member.received, chunk]));
        }
      });
    }
    socket.on("error", () => {});
    socket.on("close", () => {
      member.isOpen = false;
      resolve(member);
    });
  });
}
