/** ApiVersions: the request that must be answered whatever its version, and the names it brings. */
import {
  ApiVersionsApi,
  type ApiVersionsRequest,
  makeApiVersionsRequest,
} from "#protocol/generated/api-versions.ts";
import { ask, frame, header, raw, requestFrame, concat, utf8 } from "../bytes.ts";
import { type Case, one, type Place, several } from "../case.ts";

const KEY = ApiVersionsApi.key;
const SOUND: ApiVersionsRequest = makeApiVersionsRequest({
  clientSoftwareName: "corpus",
  clientSoftwareVersion: "1.0",
});
const SOUND_V3 = requestFrame(ApiVersionsApi, 3, SOUND).subarray(4);

const named = (label: string, clientSoftwareName: string, clientSoftwareVersion: string): Case =>
  one(
    `api-versions/software ${label}`,
    ask(ApiVersionsApi, 3, makeApiVersionsRequest({ clientSoftwareName, clientSoftwareVersion })),
  );

const meant = (label: string, clusterId: (place: Place) => string | null, nodeId: number): Case =>
  one(`api-versions/meant for ${label}`, (place) =>
    ask(
      ApiVersionsApi,
      5,
      makeApiVersionsRequest({
        ...SOUND,
        clusterId: clusterId(place),
        nodeId,
      }),
    ),
  );

/** All of them. */
export const API_VERSIONS_CASES: readonly Case[] = [
  ...[0, 1, 2, 3, 4].map((version) =>
    one(
      `api-versions/v${version}`,
      ask(ApiVersionsApi, version, version < 3 ? makeApiVersionsRequest() : SOUND),
    ),
  ),
  ...[6, 99, 32767].map((version) =>
    one(
      `api-versions/v${version} with tags in the header`,
      raw(frame(header(KEY, version, true), SOUND_V3.subarray(17))),
    ),
  ),
  ...[6, 99].map((version) =>
    one(
      `api-versions/v${version} without tags in the header`,
      raw(frame(header(KEY, version, false))),
    ),
  ),
  ...[-1, -32768].map((version) =>
    one(`api-versions/v${version}`, raw(frame(header(KEY, version, false)))),
  ),
  one(
    "api-versions/v99 with an endless tag count",
    raw(
      frame(header(KEY, 99, false), concat(new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))),
    ),
  ),
  several("api-versions/v99, then v3", [
    raw(frame(header(KEY, 99, true))),
    ask(ApiVersionsApi, 3, SOUND),
  ]),
  several("api-versions/three times", [
    ask(ApiVersionsApi, 3, SOUND),
    ask(ApiVersionsApi, 0, makeApiVersionsRequest()),
    ask(ApiVersionsApi, 3, SOUND),
  ]),
  named("empty", "", ""),
  named("without a version", "corpus", ""),
  named("with a space", "cor pus", "1.0"),
  named("with a leading dash", "-corpus", "1.0"),
  named("with a trailing dot", "corpus", "1.0."),
  named("with an underscore", "cor_pus", "1.0"),
  named("not ASCII", "kafkä", "1.0"),
  named("with a line break", "corpus\nx", "1.0"),
  named("with a trailing line break", "corpus\n", "1.0"),
  named("with a zero byte", "corpus\0", "1.0"),
  named("of 30,000 letters", "c".repeat(30_000), "1.0"),
  named("of one letter", "c", "1"),
  one(
    "api-versions/software not UTF-8",
    raw(
      frame(
        header(KEY, 3, true),
        new Uint8Array([3, 0xff, 0xfe, 2]),
        utf8("1"),
        new Uint8Array([0]),
      ),
    ),
  ),
  meant("nobody in particular", () => null, -1),
  meant("this broker", ({ clusterId }) => clusterId, 1),
  meant("another node", ({ clusterId }) => clusterId, 77),
  meant("another cluster", () => "AAAAAAAAAAAAAAAAAAAABg", 1),
  meant("a cluster without a node", ({ clusterId }) => clusterId, -1),
  meant("a node without a cluster", () => null, 1),
  meant("an empty cluster id", () => "", 1),
  meant("node -2", ({ clusterId }) => clusterId, -2),
];
