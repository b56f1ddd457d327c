import { describe, expect, test } from "bun:test";
import { javaStringHash } from "#common/java-hash.ts";
import { coordinatorPartition } from "#coordinator/runtime/java-hash.ts";

describe("placement by Java's String.hashCode", () => {
  test("hashes as Java does", () => {
    // System.out.println("…".hashCode()) of OpenJDK.
    const known = { "": 0, a: 97, "hello world": 1794106052, polygenelubricants: -2147483648 };
    const found = Object.keys(known).map((text) => [text, javaStringHash(text)]);
    expect(Object.fromEntries(found)).toEqual(known);
  });

  test("places groups where Kafka 4.4 put them", () => {
    expect(coordinatorPartition("t248027g", 50)).toBe(4);
    expect(coordinatorPartition("simple-group-62slr1n8", 50)).toBe(5);
  });

  test("survives the one hash that has no absolute value", () => {
    expect(coordinatorPartition("polygenelubricants", 50)).toBe(0);
  });
});
