/**
 * Gets the clients ready: each toolchain checks that its runtime is on this machine and installs what the programs need, locked, from the
 * ordinary registry of its language, into `.cache/conformance/`. A missing runtime or a failed installation becomes a reason that is
 * printed and counted, never a silent pass.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/broker-process.ts";
import { mustRun, runCommand } from "../../support/process.ts";

export const HERE: string = join(ROOT, "test/conformance");
export const CACHE: string = join(ROOT, ".cache/conformance");

/** Why a client cannot run here; the text is shown as `skipped: <client>: <reason>`. */
export class Unavailable extends Error {}

const INSTALL_TIMEOUT_MS = 600_000;

/** The path of a tool, or {@link Unavailable}. */
export function needTool(...names: string[]): string {
  const found = names.map((name) => Bun.which(name)).find((path) => path !== null);
  if (found === undefined || found === null)
    throw new Unavailable(`${names.join(" or ")} is not installed here`);
  return found;
}

/** Runs `install` unless the stamp file holds `wanted` already; a failure is {@link Unavailable} with the command's last words. */
async function once(stamp: string, wanted: string, install: () => Promise<void>): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const file = join(CACHE, stamp);
  if (existsSync(file) && readFileSync(file, "utf8") === wanted) return;
  const started = performance.now();
  try {
    await install();
  } catch (error) {
    throw new Unavailable(
      `setting up failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  writeFileSync(file, wanted);
  console.log(
    `set up ${stamp.replace(".stamp", "")} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}

/** Contents of a folder's source files, as the identity of what is built from them. */
function fingerprint(...files: string[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const file of files) hash.update(file).update(readFileSync(join(HERE, file)));
  return hash.digest("hex");
}

const sources = (folder: string, ending: string): string[] =>
  readdirSync(join(HERE, folder))
    .filter((name) => name.endsWith(ending))
    .toSorted()
    .map((name) => join(folder, name));

/** A virtual environment with the pinned packages; resolves with its interpreter. */
export async function python(): Promise<string> {
  const system = needTool("python3");
  if ((await runCommand([system, "-c", "import venv, ensurepip"])).exitCode !== 0) {
    throw new Unavailable("python3 has no venv or pip here");
  }
  const place = join(CACHE, "python");
  const interpreter = join(place, "bin/python");
  await once("python.stamp", fingerprint("python/requirements.txt"), async () => {
    if (!existsSync(interpreter))
      await mustRun([system, "-m", "venv", place], { timeoutMs: INSTALL_TIMEOUT_MS });
    const requirements = join(HERE, "python/requirements.txt");
    await mustRun(
      [
        interpreter,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "-r",
        requirements,
      ],
      { timeoutMs: INSTALL_TIMEOUT_MS },
    );
  });
  return interpreter;
}

/** The one binary of the three Go clients. */
export async function go(): Promise<string> {
  const tool = needTool("go");
  const binary = join(CACHE, "go/conformance");
  await once("go.stamp", fingerprint("go/go.sum", ...sources("go", ".go")), async () => {
    await mustRun([tool, "build", "-mod=readonly", "-o", binary, "."], {
      cwd: join(HERE, "go"),
      timeoutMs: INSTALL_TIMEOUT_MS,
    });
  });
  return binary;
}

/** The rskafka program. */
export async function rust(): Promise<string> {
  const tool = needTool("cargo");
  const target = join(CACHE, "rskafka");
  const files = ["rskafka/Cargo.lock", "rskafka/Cargo.toml", "rskafka/src/main.rs"];
  await once("rskafka.stamp", fingerprint(...files), async () => {
    await mustRun([tool, "build", "--locked", "--quiet"], {
      cwd: join(HERE, "rskafka"),
      environment: { CARGO_TARGET_DIR: target },
      timeoutMs: INSTALL_TIMEOUT_MS,
    });
  });
  return join(target, "debug/conformance-rskafka");
}

/** Kafka's jars: `broker` holds the broker of the newest release, `tools` the command-line tools and the Java client. */
export interface JavaLibraries {
  readonly java: string;
  readonly broker: string;
  readonly tools: string;
  readonly version: string;
}

/** Kafka's jars by Maven; see java/setup.sh for the same by hand. */
export async function java(): Promise<JavaLibraries> {
  const runtime = needTool("java");
  const maven = needTool("mvn");
  const place = join(CACHE, "java");
  await once(
    "java.stamp",
    fingerprint("java/pom.xml", "java/pom-tools.xml", "java/setup.sh"),
    async () => {
      await mustRun(["bash", join(HERE, "java/setup.sh"), place], {
        environment: { MAVEN: maven },
        timeoutMs: INSTALL_TIMEOUT_MS,
      });
    },
  );
  const [broker, tools] = [join(place, "libs"), join(place, "libs-tools")];
  const jar = readdirSync(broker).find((name) => /^kafka_2.*\.jar$/.test(name)) ?? "";
  return { java: runtime, broker, tools, version: /-([\d.]+)\.jar$/.exec(jar)?.[1] ?? "unknown" };
}

/** The compiled group member of the Java client; resolves with the folder of its classes. */
export async function javaMember(libraries: JavaLibraries): Promise<string> {
  const compiler = needTool("javac");
  const place = join(CACHE, "java-member");
  await once(
    "java-member.stamp",
    fingerprint("java/Member.java", "java/pom-tools.xml"),
    async () => {
      await mustRun(
        [compiler, "-cp", `${libraries.tools}/*`, "-d", place, join(HERE, "java/Member.java")],
        { timeoutMs: INSTALL_TIMEOUT_MS },
      );
    },
  );
  return place;
}

/** kcat: taken as it is found, or installed with apt where that is allowed. */
export async function kcat(): Promise<string> {
  const found = Bun.which("kcat");
  if (found !== null) return found;
  const apt = Bun.which("apt-get");
  if (apt === null || process.getuid?.() !== 0) throw new Unavailable("kcat is not installed here");
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  try {
    await mustRun([apt, "update", "-qq"], { environment, timeoutMs: 120_000 });
    await mustRun([apt, "install", "-y", "-qq", "--no-install-recommends", "kcat"], {
      environment,
      timeoutMs: 180_000,
    });
  } catch (error) {
    throw new Unavailable(
      `apt could not install kcat: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`,
    );
  }
  return needTool("kcat");
}

/** The newer @platformatic/kafka, for Bun only (it refuses Node 20): a package of its own beside the programs. */
export async function newerPlatformatic(): Promise<string> {
  const npm = needTool("npm");
  const place = join(CACHE, "javascript");
  await once(
    "javascript.stamp",
    fingerprint("javascript/package.json", "javascript/package-lock.json"),
    async () => {
      mkdirSync(place, { recursive: true });
      for (const file of ["package.json", "package-lock.json"]) {
        writeFileSync(join(place, file), readFileSync(join(HERE, "javascript", file)));
      }
      await mustRun([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--force"], {
        cwd: place,
        timeoutMs: INSTALL_TIMEOUT_MS,
      });
    },
  );
  return join(place, "package.json");
}
