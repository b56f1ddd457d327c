/** The admin port over HTTP: routes, codes, dialects, bounds. */
import { expect, test } from "bun:test";
import { AdminServer, type AdminSources } from "../../../src/admin/admin-server.ts";
import type { HealthReport } from "../../../src/admin/health.ts";

function serve(overrides: Partial<AdminSources> = {}): {
  readonly url: string;
  readonly failures: unknown[];
  [Symbol.asyncDispose](): Promise<void>;
} {
  const failures: unknown[] = [];
  const server = new AdminServer(
    { host: "127.0.0.1", port: 0 },
    {
      health: () => ({ status: "ok", isReady: true, reasons: [] }),
      metrics: (format) => Promise.resolve(`# ${format}\n`),
      onFailure: (error) => void failures.push(error),
      ...overrides,
    },
  );
  return {
    url: `http://127.0.0.1:${server.port}`,
    failures,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

test("metrics in the dialect that is asked for", async () => {
  await using server = serve();
  const plain = await fetch(`${server.url}/metrics`);
  expect([plain.status, plain.headers.get("content-type"), await plain.text()]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
    "# text\n",
  ]);
  const open = await fetch(`${server.url}/metrics`, {
    headers: { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" },
  });
  expect([open.headers.get("content-type"), await open.text()]).toEqual([
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "# openmetrics\n",
  ]);
});

test("health, liveness and readiness are different questions", async () => {
  let report: HealthReport = { status: "ok", isReady: true, reasons: [] };
  await using server = serve({ health: () => report });
  const codes = async (): Promise<number[]> =>
    Promise.all(
      ["", "/live", "/ready"].map(
        async (path) => (await fetch(`${server.url}/health${path}`)).status,
      ),
    );
  expect(await codes()).toEqual([200, 200, 200]);
  report = { status: "degraded", isReady: true, reasons: [{ code: "DISK_FULL", message: "full" }] };
  expect(await codes()).toEqual([503, 200, 200]);
  expect(await (await fetch(`${server.url}/health`)).json()).toEqual(report);
  report = { status: "recovering", isReady: false, reasons: [] };
  expect(await codes()).toEqual([503, 200, 503]);
});

test("nothing but GET and HEAD, and only what is there", async () => {
  await using server = serve();
  expect((await fetch(`${server.url}/metrics`, { method: "POST", body: "x" })).status).toBe(405);
  expect((await fetch(`${server.url}/metrics`, { method: "DELETE" })).status).toBe(405);
  expect((await fetch(`${server.url}/secrets`)).status).toBe(404);
  const head = await fetch(`${server.url}/metrics`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect(await (await fetch(server.url)).text()).toContain("/health/ready");
});

test("one rendering serves all who ask meanwhile, and too many are turned away", async () => {
  let renderedCount = 0;
  let finish: (text: string) => void = () => {};
  await using server = serve({
    metrics: () => {
      renderedCount++;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
  });
  const codes: number[] = [];
  const all = Array.from({ length: 20 }, async () => {
    const response = await fetch(`${server.url}/metrics`);
    codes.push(response.status);
    await response.text();
  });
  while (codes.length < 4) await Bun.sleep(1);
  finish("# done\n");
  await Promise.all(all);
  expect([renderedCount, codes.filter((code) => code === 503).length, codes.length]).toEqual([
    1, 4, 20,
  ]);
});

test("a failure is told to the log, not to the client", async () => {
  await using server = serve({ metrics: () => Promise.reject(new Error("inner secret")) });
  const response = await fetch(`${server.url}/metrics`);
  expect([response.status, (await response.text()).includes("secret")]).toEqual([500, false]);
  expect(server.failures.map(String)).toEqual(["Error: inner secret"]);
});
