/**
 * kafka-python's integration tests, from its sdist. They take a broker that runs already (`KAFKA_URI`); what the sdist lacks of their own helpers is made
 * up for: the package marker of `test` and `test/service.py`, which starts brokers and is not needed. Tests over TLS and SASL start brokers, so they are
 * left out.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, runCommand } from "../../support/process.ts";
import { CACHE, HERE, needTool } from "../support/toolchains.ts";
import type { Suite } from "./suite.ts";

const VERSION = "3.0.12";
/** The newest broker version that this kafka-python tells apart. */
const KAFKA_VERSION = "4.3.0";
const TIMEOUT_MS = 900_000;

const SERVICE = `"""Not in the sdist: a broker that runs already is neither started nor stopped, and none is spawned."""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    def __init__(self, *_):
        raise RuntimeError("only brokers that run already are tested")
`;

/** Unpacks the tests and installs what they need, once; resolves with their folder and interpreter. */
async function prepare(): Promise<{ cwd: string; interpreter: string }> {
  const system = needTool("python3");
  const place = join(CACHE, "suites/kafka-python");
  const interpreter = join(place, "venv/bin/python");
  const cwd = join(place, "source");
  if (existsSync(join(cwd, "test/service.py"))) return { cwd, interpreter };
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  await mustRun([system, "-m", "venv", join(place, "venv")], { timeoutMs: 300_000 });
  const pip = [interpreter, "-m", "pip", "--quiet", "--disable-pip-version-check"];
  await mustRun([...pip, "install", "-r", join(HERE, "suites/kafka-python.requirements.txt")], {
    timeoutMs: 600_000,
  });
  await mustRun(
    [
      ...pip,
      "download",
      "--no-deps",
      "--no-binary",
      ":all:",
      "--dest",
      place,
      `kafka-python==${VERSION}`,
    ],
    { timeoutMs: 600_000 },
  );
  await mustRun(["tar", "xzf", join(place, `kafka_python-${VERSION}.tar.gz`), "-C", place]);
  const unpacked = join(place, `kafka_python-${VERSION}`);
  // The installed package is tested, not the copy beside the tests.
  rmSync(join(unpacked, "kafka"), { recursive: true });
  writeFileSync(join(unpacked, "test/__init__.py"), "");
  writeFileSync(join(unpacked, "test/service.py"), SERVICE);
  renameSync(unpacked, cwd);
  return { cwd, interpreter };
}

/** kafka-python's own tests. */
export const kafkaPython: Suite = {
  name: "kafka-python",
  skip: "transactional",
  overrides: { "node.id": "0", "group.min.session.timeout.ms": "1000" },
  run: async (bootstrap, skip) => {
    const { cwd, interpreter } = await prepare();
    const result = await runCommand(
      [
        interpreter,
        "-m",
        "pytest",
        "test/integration",
        "-q",
        "-rA",
        "--show-capture=no",
        "--tb=line",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=--timeout=120",
        ...["sasl", "ssl"].flatMap((kind) => [
          "--ignore",
          `test/integration/test_${kind}_integration.py`,
        ]),
        ...(skip === "" ? [] : ["-k", `not (${skip.split("|").join(" or ")})`]),
      ],
      {
        cwd,
        environment: { KAFKA_ROOT: cwd, KAFKA_URI: `kafka://${bootstrap}`, KAFKA_VERSION },
        timeoutMs: TIMEOUT_MS,
      },
    );
    const output = result.output.toString();
    const named = (verdict: string): string[] =>
      [
        ...output.matchAll(
          new RegExp(
            `^${verdict} test/integration/(?:test_)?(\\S+?)_integration\\.py::(\\S+)`,
            "gm",
          ),
        ),
      ]
        .map(([, file = "", name = ""]) => `${file}::${name}`)
        .toSorted();
    const skipped = [...output.matchAll(/^SKIPPED \[\d+\] (\S+):/gm)].map(
      ([, where = ""]) => where,
    );
    const isOver = /\d+ passed.* in [\d.]+s/.test(output);
    return {
      passed: named("PASSED"),
      failed: [...named("FAILED"), ...named("ERROR")],
      skipped,
      ...(isOver ? {} : { trouble: `it did not come to its end: ${output.slice(-600)}` }),
    };
  },
};
