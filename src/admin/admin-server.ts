/**
 * The admin port: a small HTTP server for whoever watches the broker.
 *
 * - `GET /metrics`: everything that is counted, for Prometheus; OpenMetrics to who asks for it.
 * - `GET /health`: JSON; 200 when all is well, 503 with the reasons otherwise, also when the broker serves but is degraded.
 * - `GET /health/live`: 200 as long as the process answers: restart it when this fails.
 * - `GET /health/ready`: 200 while requests are served: send clients here, or not.
 *
 * It must never hurt the broker: nothing but GET and HEAD, no bodies, an idle deadline, one rendering at a time that
 * everybody who asks meanwhile shares, and a bound on how many may ask. There is no login; that is why it listens on the
 * loopback address unless it is told otherwise.
 */
import type { HealthReport } from "./health.ts";

/** What the server shows. Both are asked at any time, also while the broker starts and stops. */
export interface AdminSources {
  health(): HealthReport;
  /** The exposition in a dialect of Prometheus's. */
  metrics(format: "text" | "openmetrics"): Promise<string>;
  /** Told when `metrics` failed; the client gets a 500. */
  onFailure(error: unknown): void;
}

/** Where to listen. */
export interface AdminAddress {
  readonly host: string;
  /** 0 for a free port. */
  readonly port: number;
}

/** Requests under way at the same time. */
const REQUESTS_MAX = 16;
/** A connection that says nothing for this long is closed. */
const IDLE_SECONDS = 15;
const REQUEST_BYTES_MAX = 4096;

const CONTENT_TYPES = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
} as const;

const INDEX = `Sluice admin port

/metrics       counters and gauges for Prometheus
/health        state as JSON, 503 with reasons when something is wrong
/health/live   200 while the process answers
/health/ready  200 while requests are served
`;

/** A running admin port. */
export class AdminServer {
  readonly host: string;
  /** The port it got. */
  readonly port: number;
  readonly #server: Bun.Server<undefined>;
  readonly #sources: AdminSources;
  readonly #rendering: Map<"text" | "openmetrics", Promise<string>> = new Map();
  #requestCount = 0;

  /**
   * Listens.
   *
   * @throws the system's error (`code` EADDRINUSE, EACCES, …) when the address cannot be bound.
   */
  constructor(address: AdminAddress, sources: AdminSources) {
    this.#sources = sources;
    this.#server = Bun.serve({
      hostname: address.host,
      port: address.port,
      // Without it two brokers would share the address, and a scrape meet either.
      reusePort: false,
      idleTimeout: IDLE_SECONDS,
      maxRequestBodySize: REQUEST_BYTES_MAX,
      development: false,
      fetch: (request) => this.#answer(request),
      error: (error) => {
        sources.onFailure(error);
        return plain(500, "the admin port failed, the log has the reason\n");
      },
    });
    this.host = this.#server.hostname ?? address.host;
    this.port = this.#server.port ?? address.port;
  }

  /** Closes the port and its connections. */
  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return plain(405, "GET or HEAD\n", { Allow: "GET, HEAD" });
    }
    if (this.#requestCount >= REQUESTS_MAX) {
      return plain(503, "too many requests at the same time\n", { "Retry-After": "1" });
    }
    this.#requestCount++;
    try {
      const response = await this.#route(request);
      return request.method === "HEAD"
        ? new Response(null, { status: response.status, headers: response.headers })
        : response;
    } finally {
      this.#requestCount--;
    }
  }

  #route(request: Request): Response | Promise<Response> {
    switch (new URL(request.url).pathname) {
      case "/metrics":
        return this.#metrics(request);
      case "/health":
        return health(this.#sources.health(), ({ status }) => status === "ok");
      case "/health/ready":
        return health(this.#sources.health(), ({ isReady }) => isReady);
      case "/health/live":
        return plain(200, "alive\n");
      case "/":
        return plain(200, INDEX);
      default:
        return plain(404, "not here; / lists what is\n");
    }
  }

  async #metrics(request: Request): Promise<Response> {
    const wantsOpenMetrics = request.headers
      .get("accept")
      ?.includes("application/openmetrics-text");
    const format = wantsOpenMetrics === true ? "openmetrics" : "text";
    try {
      const body = await this.#render(format);
      return new Response(body, { headers: { ...HEADERS, "Content-Type": CONTENT_TYPES[format] } });
    } catch (error) {
      this.#sources.onFailure(error);
      return plain(500, "the metrics could not be read, the log has the reason\n");
    }
  }

  /** One rendering at a time: who comes meanwhile gets the same one. */
  #render(format: "text" | "openmetrics"): Promise<string> {
    const current = this.#rendering.get(format);
    if (current !== undefined) return current;
    const rendering = this.#sources.metrics(format).finally(() => this.#rendering.delete(format));
    this.#rendering.set(format, rendering);
    return rendering;
  }
}

const HEADERS = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" } as const;

function plain(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(text, {
    status,
    headers: { ...HEADERS, ...headers, "Content-Type": "text/plain; charset=utf-8" },
  });
}

function health(report: HealthReport, isFine: (report: HealthReport) => boolean): Response {
  return new Response(`${JSON.stringify(report, null, 2)}\n`, {
    status: isFine(report) ? 200 : 503,
    headers: { ...HEADERS, "Content-Type": "application/json" },
  });
}
