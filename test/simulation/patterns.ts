/**
 * Faults that belong together: chance alone draws them in this order too seldom to find what they find. Who is hit and when is left to chance.
 *
 * - `blackout`: a broker is fenced, and all lose their power before or after that is on every disk.
 * - `relay`: one loses its logs again and again, the others only their processes.
 * - `absence`: a replica is away until it leaves the ISR, comes back, and is gone again while it is about to be let in; the leader hears nothing of the
 *   controller meanwhile.
 * - `late-request`: a replica comes back, and what the leader asks of the controller arrives only when another leads.
 * - `stale-request`: a replica comes back, the leader's request to let it in is held up in the network, another is elected without anybody being
 *   fenced, and the replica is away again when the request arrives. The controller has no replica: only its way from the leader is cut.
 * - `other-life`: a replica comes back, and loses its logs in a crash while the request to let it in is on its way.
 */
import type { Fault } from "./faults.ts";
import type { SeededRandom } from "./random.ts";

export const PATTERNS = [
  "blackout",
  "relay",
  "absence",
  "late-request",
  "stale-request",
  "other-life",
] as const;
export type Pattern = (typeof PATTERNS)[number];

/** Time that a replica must be away to leave the ISR, at most. */
const AWAY_MS = 1600;

/** Time from one to the next, about; where it is not as long as somebody is away and comes back. */
const PAUSES_MS: Readonly<Partial<Record<Pattern, number>>> = {
  blackout: 800,
  relay: 900,
  "stale-request": 6000,
};

interface World {
  readonly nodeCount: number;
  readonly busyMs: number;
}

/** The faults of one pattern, repeated over a run. */
export function drawPattern(random: SeededRandom, pattern: Pattern, world: World): Fault[] {
  const faults: Fault[] = [];
  const pauseMs = PAUSES_MS[pattern] ?? AWAY_MS + 2500;
  for (let atMs = 500; atMs < world.busyMs - 500; atMs += pauseMs * random.between(0.5, 1.5))
    faults.push(...drawOne(random, pattern, Math.floor(atMs), world));
  return faults;
}

function drawOne(
  random: SeededRandom,
  pattern: Pattern,
  atMs: number,
  { nodeCount, busyMs }: World,
): Fault[] {
  const ids = Array.from({ length: nodeCount }, (_, id) => id);
  const draw = (): number => ids.splice(random.integer(0, ids.length), 1)[0] ?? 0;
  const seed = random.uint32();
  switch (pattern) {
    case "blackout": {
      const about = random.integer(0, nodeCount);
      const crashMs = atMs + random.integer(2, 60);
      return ids.flatMap((node): Fault[] => [
        ...(node === about ? [] : [verdict(atMs, node, about)]),
        { kind: "crash", atMs: crashMs, forMs: 20, node, mode: "unsynced", seed },
      ]);
    }
    case "relay": {
      const node = random.integer(0, nodeCount);
      const mode = node === busyMs % nodeCount ? "unsynced" : "process";
      return [{ kind: "crash", atMs, forMs: random.pick([50, 1000, 3500]), node, mode, seed }];
    }
    case "stale-request":
      return drawStaleRequest(random, atMs, draw(), [draw(), draw(), draw()]);
    default: {
      const [away, leader, controller] = [draw(), draw(), draw()];
      const others = Array.from({ length: nodeCount }, (_, id) => id).filter((id) => id !== away);
      const gone = (fromMs: number, forMs: number): Fault => {
        const cut = { kind: "cut", from: [away], to: others, isOneWay: false } as const;
        return { ...cut, atMs: fromMs, forMs };
      };
      const forMs = Math.floor(AWAY_MS * random.between(0.8, 1.1));
      const backMs = atMs + forMs + random.integer(0, 400);
      return [
        gone(atMs, forMs),
        ...onReturn(random, pattern, backMs, gone, { leader, controller, away, seed }),
      ];
    }
  }
}

/** Leaders are chosen by the order of replicas, for the first partition. */
function drawStaleRequest(
  random: SeededRandom,
  atMs: number,
  controller: number,
  [leader, next, away]: readonly [number, number, number],
): Fault[] {
  const at = (fromMs: number, forMs = 0): { atMs: number; forMs: number } => ({
    atMs: Math.floor(fromMs),
    forMs: Math.floor(forMs),
  });
  const reassign = { kind: "reassign", partition: 0 } as const;
  const elect = { kind: "elect", partition: 0 } as const;
  const gone = { kind: "cut", from: [away], to: [leader, next], isOneWay: false } as const;
  const late = { kind: "cut", from: [leader], to: [controller], isOneWay: true } as const;
  const backMs = atMs + 2900;
  const awayAgainMs = backMs + random.between(250, 600);
  return [
    { ...at(atMs), kind: "transfer", to: controller },
    { ...at(atMs + 250), ...reassign, replicas: [leader, next, away] },
    { ...at(atMs + 900), ...elect },
    { ...at(atMs + 1000, 1900), ...gone },
    { ...at(backMs - 20, random.between(1000, 1600)), ...late },
    { ...at(awayAgainMs, 2500), ...gone },
    { ...at(awayAgainMs), ...reassign, replicas: [next, leader, away] },
    { ...at(awayAgainMs + random.between(30, 150)), ...elect },
  ];
}

function onReturn(
  random: SeededRandom,
  pattern: Exclude<Pattern, "blackout" | "relay" | "stale-request">,
  backMs: number,
  gone: (fromMs: number, forMs: number) => Fault,
  who: { leader: number; controller: number; away: number; seed: number },
): Fault[] {
  const { leader, controller, away, seed } = who;
  const way = (from: number, to: number, forMs: number): Fault => ({
    kind: "cut",
    from: [from],
    to: [to],
    isOneWay: true,
    atMs: backMs,
    forMs: Math.floor(forMs),
  });
  switch (pattern) {
    case "absence":
      return [
        way(controller, leader, random.between(1500, 3000)),
        gone(backMs + random.integer(0, 100), Math.floor(random.between(1500, 3000))),
      ];
    case "late-request":
      return [
        way(leader, controller, random.between(1500, 4500)),
        // It goes on to say that it lives, and hears nothing.
        {
          ...way(controller, away, random.between(4500, 6000)),
          atMs: backMs + random.integer(0, 100),
        },
      ];
    case "other-life": {
      const crashMs = backMs + random.integer(0, 100);
      return [
        way(leader, controller, random.between(300, 1500)),
        { ...way(away, leader, random.between(1500, 3000)), atMs: crashMs },
        {
          kind: "crash",
          atMs: crashMs,
          forMs: 20,
          node: away,
          mode: "unsynced",
          seed,
        },
      ];
    }
    default:
      return pattern satisfies never;
  }
}

function verdict(atMs: number, at: number, about: number): Fault {
  return { kind: "verdict", atMs, forMs: 0, at, about, verdict: "down" };
}
