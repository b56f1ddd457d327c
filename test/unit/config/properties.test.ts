/**
 * The expectations are what java.util.Properties (OpenJDK 17) answered for the same text.
 */
import { describe, expect, test } from "bun:test";
import { parseProperties } from "#config/properties.ts";

describe("parseProperties", () => {
  test("reads what java.util.Properties reads", () => {
    const text = [
      "a=1",
      " b : 2 ",
      "  # c",
      "! d",
      "c 3",
      "d\\ e\\:f=x=y",
      "long=one,\\",
      "   two,\\",
      "  three\\\\",
      "key\\u0041=\\u00e9\\t|\\q",
      "empty",
      "empty2=",
      "=novalue",
      "a=9",
      "cont=x\\",
      "",
      "#nocomment",
      "h=#v!",
      "ws   =   v  w  ",
      "trail=abc\\",
      "# in continuation",
      "colon::v",
      "foo= \\ lead",
      "last=end\\",
    ].join("\n");
    const { values } = parseProperties(text);
    expect(Object.fromEntries(values ?? [])).toEqual({
      "": "novalue",
      a: "9",
      b: "2 ",
      c: "3",
      colon: ":v",
      cont: "x",
      "d e:f": "x=y",
      empty: "",
      empty2: "",
      foo: " lead",
      h: "#v!",
      keyA: "é\t|q",
      last: "end",
      long: "one,two,three\\",
      trail: "abc# in continuation",
      ws: "v  w  ",
    });
  });

  test("reads carriage returns as line ends", () => {
    expect([...(parseProperties("a=1\r\nb=2\rc=3").values ?? [])]).toEqual([
      ["a", "1"],
      ["b", "2"],
      ["c", "3"],
    ]);
  });

  test("a line continued before it has any text is still none", () => {
    const { values, lines } = parseProperties(
      "\\\n  # no key\na=1\n\\\n\n! nor here\nb=\\\n# value",
    );
    expect([Object.fromEntries(values ?? []), Object.fromEntries(lines ?? [])]).toEqual([
      { a: "1", b: "# value" },
      { a: 3, b: 7 },
    ]);
  });

  test("tells which keys stand there twice", () => {
    expect(parseProperties("a=1\nb=2\na=3\na=4").repeated).toEqual([
      { key: "a", line: 1, laterLine: 3 },
      { key: "a", line: 3, laterLine: 4 },
    ]);
  });

  test("names the line of a malformed escape", () => {
    expect(parseProperties("a=1\nb=\\u00g0").error).toBe("line 2: malformed \\uxxxx escape");
  });
});
