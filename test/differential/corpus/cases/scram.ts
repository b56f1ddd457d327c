/** DescribeUserScramCredentials and AlterUserScramCredentials. What a case stores, it takes away again. */
import {
  AlterUserScramCredentialsApi,
  makeAlterUserScramCredentialsRequest,
  makeScramCredentialUpsertion,
  type ScramCredentialDeletion,
  type ScramCredentialUpsertion,
} from "#protocol/generated/alter-user-scram-credentials.ts";
import {
  DescribeUserScramCredentialsApi,
  makeDescribeUserScramCredentialsRequest,
} from "#protocol/generated/describe-user-scram-credentials.ts";
import { ask, repeat, utf8 } from "../bytes.ts";
import { type Case, one, type Place, SETTLE, several, type Turn } from "../case.ts";

const SHA_256 = 1;
const SHA_512 = 2;

type Upsertion = Partial<ScramCredentialUpsertion>;
type Deletion = Partial<ScramCredentialDeletion>;

function alter(
  place: Place,
  upsertions: readonly Upsertion[],
  deletions: readonly Deletion[] = [],
): Turn {
  return ask(
    AlterUserScramCredentialsApi,
    0,
    makeAlterUserScramCredentialsRequest({
      upsertions: upsertions.map((each) =>
        makeScramCredentialUpsertion({
          name: place.group,
          mechanism: SHA_256,
          iterations: 4096,
          salt: utf8("salt"),
          saltedPassword: repeat(7, 32),
          ...each,
        }),
      ),
      deletions: deletions.map((each) => ({ name: place.group, mechanism: SHA_256, ...each })),
    }),
  );
}

function describe(names: readonly string[] | null): Turn {
  const users = names === null ? null : names.map((name) => ({ name }));
  return ask(
    DescribeUserScramCredentialsApi,
    0,
    makeDescribeUserScramCredentialsRequest({ users }),
  );
}

const upsert = (label: string, ...upsertions: readonly Upsertion[]): Case =>
  one(`scram/upsert ${label}`, (place) => alter(place, upsertions));

const remove = (label: string, ...deletions: readonly Deletion[]): Case =>
  one(`scram/delete ${label}`, (place) => alter(place, [], deletions));

/** All of them. */
export const SCRAM_CASES: readonly Case[] = [
  several("scram/stored, described, deleted", [
    (place) => alter(place, [{}, { name: `${place.group}-b` }]),
    (place) => alter(place, [{ mechanism: SHA_512, iterations: 16384 }]),
    SETTLE,
    ({ group }) => describe([group, `${group}-b`, `${group}-c`]),
    (place) => alter(place, [{ iterations: 5000 }], [{ mechanism: SHA_512 }]),
    SETTLE,
    ({ group }) => describe([group]),
    (place) => alter(place, [{ iterations: 5000 }], [{ name: `${place.group}-b` }]),
    SETTLE,
    ({ group }) => describe([group, `${group}-b`]),
    (place) => alter(place, [], [{}]),
    SETTLE,
    ({ group }) => describe([group]),
  ]),
  upsert("with 4095 iterations", { iterations: 4095 }),
  upsert("with 16385 iterations", { iterations: 16385 }),
  upsert("with -1 iterations", { iterations: -1 }),
  upsert("of mechanism 0", { mechanism: 0 }),
  upsert("of mechanism 3", { mechanism: 3 }),
  upsert("of mechanism -1", { mechanism: -1 }),
  upsert("of an empty user", { name: "" }),
  upsert("twice", {}, {}),
  upsert("twice, one wrong", {}, { iterations: 1 }),
  upsert("wrong in two ways", { iterations: 1, mechanism: 9 }),
  upsert("of an empty user and mechanism 9", { name: "", mechanism: 9 }),
  remove("of nobody", {}),
  remove("of an empty user", { name: "" }),
  remove("of mechanism 0", { mechanism: 0 }),
  remove("of mechanism 9", { mechanism: 9 }),
  remove("twice", {}, {}),
  one("scram/upsert and delete the same", (place) => alter(place, [{}], [{}])),
  one("scram/a bad deletion beside a bad upsertion", (place) =>
    alter(place, [{ iterations: 1 }], [{ mechanism: SHA_512 }]),
  ),
  one("scram/nothing", (place) => alter(place, [])),
  several("scram/without salt and password", [
    (place) => alter(place, [{ salt: new Uint8Array(0), saltedPassword: new Uint8Array(0) }]),
    SETTLE,
    ({ group }) => describe([group]),
    (place) => alter(place, [], [{}]),
  ]),
  one("scram/describe nobody", ({ group }) => describe([group])),
  one("scram/describe twice", ({ group }) => describe([group, group])),
  one("scram/describe twice and another", ({ group }) => describe([group, group, `${group}-b`])),
  one("scram/describe an empty name", describe([""])),
];
