import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { isIpAddress } from "#common/ip-address.ts";

test.each([
  "10.0.0.1",
  "10.1",
  "10.0.65535",
  "167772161",
  "::",
  "::1",
  "1::",
  "[::1]",
  "2001:db8::1",
  "1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:10.0.0.1",
  "::ffff:10.0.0.1",
])("%s is an address", (text) => {
  expect(isIpAddress(text)).toBe(true);
});

test.each([
  "",
  "1.2.3.400",
  "1.2.3.4.5",
  "10.",
  ".1",
  "10.0.65536",
  "4294967296",
  "10.0.0.0/8",
  "10.0.0.1:80",
  "localhost",
  "no host",
  ":",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4::5:6:7:8",
  "12345::",
  "g::",
  "[::1",
  "10.0.0.1::",
  "::10.1",
])("'%s' is none", (text) => {
  expect(isIpAddress(text)).toBe(false);
});

test("agrees with the runtime about every full address, and about texts like one", () => {
  const like = fc.string({
    unit: fc.constantFrom(...Array.from("0123456789abf:.")),
    maxLength: 20,
  });
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), like), (text) => {
      // Shorter forms of v4, which the runtime does not know, and zeros in front, which it refuses.
      fc.pre(text.includes(":") || text.split(".").length === 4);
      fc.pre(!/(^|[.:])0\d+\./.test(text) && !/\.0\d/.test(text));
      expect(isIpAddress(text)).toBe(isIP(text) !== 0);
    }),
    { numRuns: 2000 },
  );
});
