import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type Descriptor, extractApis, parseDescriptor } from "#protocol/generator/extract.ts";
import { Conditions, segments } from "#protocol/generator/layout.ts";
import {
  formatVersions,
  kebabCase,
  NO_VERSIONS,
  parseVersions,
  propertyName,
} from "#protocol/generator/schema.ts";

const ROOT = join(import.meta.dirname, "../../../..");

test("the committed code is what the schemas give", () => {
  const main = join(ROOT, "src/protocol/generator/main.ts");
  const run = Bun.spawnSync([process.execPath, main, "--check"], { cwd: ROOT, stderr: "pipe" });
  expect(run.stderr.toString()).toBe("");
  expect(run.exitCode).toBe(0);
}, 30_000);

describe("names", () => {
  test.each([
    ["TopicData", "topicData", "topic-data"],
    ["ISRNodes", "isrNodes", "isr-nodes"],
    ["KRaftVersionRecord", "kRaftVersionRecord", "kraft-version-record"],
    ["OffsetForLeaderEpoch", "offsetForLeaderEpoch", "offset-for-leader-epoch"],
    ["V3AndBelowProducerId", "v3AndBelowProducerId", "v3-and-below-producer-id"],
    ["offset", "offset", "offset"],
    ["ISR", "isr", "isr"],
  ])("%s", (name, property, file) => {
    expect([propertyName(name), kebabCase(name)]).toEqual([property, file]);
  });
});

test("version ranges", () => {
  for (const text of ["3", "0-5", "2+", "none"])
    expect(formatVersions(parseVersions(text))).toBe(text);
  expect(parseVersions(undefined)).toEqual(NO_VERSIONS);
  expect(() => parseVersions("1 to 3")).toThrow("not a version range");
});

describe("conditions", () => {
  const conditionsFor = (low: number, high: number): Conditions =>
    new Conditions({ low, high }, parseVersions("3+"));
  const presentIn = (text: string): ((version: number) => string) => {
    const range = parseVersions(text);
    return (version) => (version >= range.low && version <= range.high ? "write();" : "");
  };

  test("a field in the middle is asked for at both ends", () => {
    const conditions = conditionsFor(0, 9);
    expect(conditions.statements(segments({ low: 0, high: 9 }, presentIn("2-7")))).toEqual([
      "if (version >= 2 && version < 8) { write(); }",
    ]);
  });

  test("the end of a chain is an else only when all above it is covered", () => {
    const textOf = (version: number): string =>
      version >= 8 ? "" : version >= 3 ? "compact();" : "plain();";
    const conditions = conditionsFor(0, 9);
    expect(conditions.statements(segments({ low: 0, high: 9 }, textOf))).toEqual([
      "if (flexible && version < 8) { compact(); }",
      "else if (!flexible) { plain(); }",
    ]);
    const covered = conditionsFor(0, 7);
    expect(covered.statements(segments({ low: 0, high: 7 }, textOf))).toEqual([
      "if (flexible) { compact(); }",
      "else { plain(); }",
    ]);
    expect(covered.usesFlexible).toBe(true);
  });

  test("an expression falls from the highest version to the lowest", () => {
    const textOf = (version: number): string => (version >= 5 ? "c" : version >= 3 ? "b" : "a");
    expect(conditionsFor(1, 9).expression(segments({ low: 1, high: 9 }, textOf))).toBe(
      "version >= 5 ? c : flexible ? b : a",
    );
    expect(conditionsFor(5, 9).expression(segments({ low: 5, high: 9 }, textOf))).toBe("c");
  });
});

describe("joining a predecessor", () => {
  const descriptor = (
    type: string,
    valid: string,
    fields: string,
    listeners = `["broker"]`,
  ): Descriptor =>
    parseDescriptor(`// a comment
      { "apiKey": 900, "type": "${type}", "listeners": ${listeners}, "name": "Thing${type === "request" ? "Request" : "Response"}",
        "validVersions": "${valid}", "flexibleVersions": "4+",
        // another
        "fields": [${fields}] }`);
  const both = (request: Descriptor, response: Descriptor): Map<string, Descriptor> =>
    new Map([
      ["ThingRequest", request],
      ["ThingResponse", response],
    ]);
  const empty = (valid: string): Descriptor => descriptor("response", valid, "");

  test("keeps dropped versions and the fields only they had, where they stood", () => {
    const now = descriptor(
      "request",
      "2-5",
      `{"name":"A","type":"int32","versions":"2+"},{"name":"C","type":"string","versions":"3+","nullableVersions":"4+","default":"null"}`,
    );
    const before = descriptor(
      "request",
      "0-4",
      `{"name":"A","type":"int32","versions":"0+"},{"name":"B","type":"int8","versions":"0-1"},{"name":"C","type":"string","versions":"3+","nullableVersions":"4+","ignorable":true}`,
    );
    expect(extractApis(both(now, empty("2-5")), both(before, empty("0-4")))).toEqual([
      {
        kind: "api",
        name: "Thing",
        apiKey: 900,
        validVersions: "0-5",
        servedVersions: "2-5",
        flexibleVersions: "4+",
        listeners: ["broker"],
        request: {
          name: "ThingRequest",
          fields: [
            { name: "A", type: "int32", versions: "0+" },
            { name: "B", type: "int8", versions: "0-1" },
            {
              name: "C",
              type: "string",
              versions: "3+",
              nullableVersions: "4+",
              default: "null",
              ignorable: true,
            },
          ],
        },
        response: { name: "ThingResponse", fields: [] },
      },
    ]);
  });

  test("leaves alone what is not for clients", () => {
    const now = descriptor("request", "2-5", "", `["controller"]`);
    const before = descriptor("request", "0-4", "", `["controller"]`);
    expect(extractApis(both(now, empty("2-5")), both(before, empty("0-4")))[0]?.validVersions).toBe(
      "2-5",
    );
  });

  test("stops where the two do not make one range", () => {
    const now = descriptor("request", "2-5", `{"name":"A","type":"int32","versions":"4+"}`);
    const before = descriptor("request", "0-4", `{"name":"A","type":"int32","versions":"0+"}`);
    expect(() => extractApis(both(now, empty("2-5")), both(before, empty("0-4")))).toThrow(
      "A.versions is not one range of versions",
    );
  });

  test("a bare null is no default", () => {
    const now = descriptor(
      "request",
      "0",
      `{"name":"A","type":"[]int32","versions":"0+","nullableVersions":"0+","default":null}`,
    );
    expect(extractApis(both(now, empty("0")), new Map())[0]?.request.fields[0]).toEqual({
      name: "A",
      type: "[]int32",
      versions: "0+",
      nullableVersions: "0+",
    });
  });
});
