/**
 * The text that Prometheus reads: families of samples, written front to back into one string.
 *
 * Two dialects that differ in little: the text format 0.0.4 names a counter's family with `_total`, OpenMetrics 1.0 without,
 * and ends with `# EOF`. Names and help come from the program; label values may come from anywhere and are escaped. A family
 * without samples is not written.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import {
  LATENCY_BUCKETS,
  type LatencySnapshot,
  upperEdgeSeconds,
} from "#common/latency-histogram.ts";

/** Dialects. */
export type ExpositionFormat = "text" | "openmetrics";

/** Labels by name; names are the program's own. */
export type Labels = Readonly<Record<string, string | number>>;

/** Buckets whose upper edge is written: 1, 2 and 5 of each decade from 10 µs to 50 s, and the end. */
const WRITTEN_BUCKETS: readonly number[] = Array.from(
  { length: LATENCY_BUCKETS },
  (_, bucket) => bucket,
).filter((bucket) => {
  const step = bucket % 9;
  return (
    bucket === LATENCY_BUCKETS - 1 || (bucket >= 9 && (step === 0 || step === 1 || step === 4))
  );
});

/** Writes one exposition. */
export class ExpositionWriter {
  readonly #format: ExpositionFormat;
  readonly #lines: string[] = [];
  #name = "";
  #sampleName = "";
  #header: string | null = null;
  #seriesCount = 0;

  constructor(format: ExpositionFormat) {
    this.#format = format;
  }

  /** Samples written so far. */
  get seriesCount(): number {
    return this.#seriesCount;
  }

  /** Begins a gauge; samples follow. */
  gauge(name: string, help: string): this {
    return this.#begin(name, name, "gauge", help);
  }

  /** Begins a counter. `name` ends in `_total`. */
  counter(name: string, help: string): this {
    const family = this.#format === "openmetrics" ? name.replace(/_total$/, "") : name;
    return this.#begin(family, name, "counter", help);
  }

  /** Begins a histogram; `latency` follows. */
  histogram(name: string, help: string): this {
    return this.#begin(name, name, "histogram", help);
  }

  /** One sample of the family begun last. */
  sample(value: number, labels: Labels = NO_LABELS): this {
    this.#write(this.#sampleName, labelText(labels), value);
    return this;
  }

  /** One histogram of the family begun last. */
  latency({ counts, sumMs }: LatencySnapshot, labels: Labels = NO_LABELS): this {
    const prefix = labelPairs(labels);
    const comma = prefix === "" ? "" : ",";
    let count = 0;
    let bucket = 0;
    for (const written of WRITTEN_BUCKETS) {
      for (; bucket <= written; bucket++) count += counts[bucket] as number;
      const edge = numberText(upperEdgeSeconds(written));
      this.#write(`${this.#name}_bucket`, `{${prefix}${comma}le="${edge}"}`, count);
    }
    this.#write(`${this.#name}_sum`, labelText(labels), sumMs / 1000);
    this.#write(`${this.#name}_count`, labelText(labels), count);
    return this;
  }

  /** The exposition as text. */
  toString(): string {
    const end = this.#format === "openmetrics" ? "# EOF\n" : "";
    return this.#lines.join("") + end;
  }

  #begin(family: string, sampleName: string, type: string, help: string): this {
    this.#name = family;
    this.#sampleName = sampleName;
    this.#header = `# HELP ${family} ${escapeHelp(help)}\n# TYPE ${family} ${type}\n`;
    return this;
  }

  #write(name: string, labels: string, value: number): void {
    if (this.#header !== null) this.#lines.push(this.#header);
    this.#header = null;
    this.#lines.push(`${name}${labels} ${numberText(value)}\n`);
    this.#seriesCount++;
  }
}

const NO_LABELS: Labels = {};

function labelText(labels: Labels): string {
  const pairs = labelPairs(labels);
  return pairs === "" ? "" : `{${pairs}}`;
}

function labelPairs(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(String(value))}"`)
    .join(",");
}

/** A label value as the format wants it: backslash, quote and line break escaped, lone surrogates replaced. */
export function escapeLabel(value: string): string {
  return value
    .toWellFormed()
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll('"', '\\"');
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
