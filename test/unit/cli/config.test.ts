/** Words of `sluice config`, and documentation as text. */
import { describe, expect, test } from "bun:test";
import { documentationText } from "#cli/config/documentation-text.ts";
import { refuseTypos } from "#cli/config/known-keys.ts";
import { formatResourceWords, readResource } from "#cli/config/resource-argument.ts";
import type { ConfigEntry } from "#client/configs.ts";

describe("the words of a resource", () => {
  test.each([
    ["topic", ["orders", "a=b"], { type: "topic", name: "orders" }, ["a=b"]],
    ["broker", ["1"], { type: "broker", name: "1" }, []],
    ["broker-defaults", ["a=b"], { type: "broker", name: "" }, ["a=b"]],
    ["group", ["g"], { type: "group", name: "g" }, []],
    ["client-metrics", ["m", "k"], { type: "client-metrics", name: "m" }, ["k"]],
  ] as const)("%s %j", (type, words, resource, rest) => {
    const read = readResource(type, words);
    expect([read.resource, read.rest] as object).toEqual([resource, rest]);
    expect(`${type} ${words[0]}`.startsWith(formatResourceWords(read))).toBe(true);
  });
});

describe("typos in keys", () => {
  const known = ["retention.ms", "retention.bytes", "min.insync.replicas"].map(
    (name) => ({ name }) as ConfigEntry,
  );
  const target = { word: "topic", resource: { type: "topic", name: "t" } } as const;
  test("a near one is refused, a far one is the broker's to refuse", () => {
    expect(() => refuseTypos(target, known, ["retention.mss"], false)).toThrow(
      "a topic has no key 'retention.mss'",
    );
    refuseTypos(target, known, ["retention.ms", "a.plugin.key", "listener.name.x.y"], false);
    expect(() => refuseTypos(target, known, ["a.plugin.key"], true)).toThrow("a topic has no key");
  });
});

test("documentation becomes lines", () => {
  expect(
    documentationText(
      'One &amp; two.<p>A <code>key</code>\n with <a href="#x">a link</a>:<ul><li>first</li><li>a &lt; b</li></ul>',
    ),
  ).toBe("One & two.\nA key with a link:\n- first\n- a < b");
});
