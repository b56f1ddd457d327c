//! A run as one JSON object: what was asked, what went through, what it cost, how long it took.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use serde_json::{Value, json};

use crate::engine::Measured;
use crate::options::{Options, Verb};
use crate::process;

const MIB: f64 = (1_u64 << 20) as f64;
const GIB: f64 = (1_u64 << 30) as f64;

fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1e4).round() / 1e4 } else { 0.0 }
}

/// Percentiles in milliseconds.
pub fn latency_ms(histogram: &Histogram<u64>) -> Value {
    let ms = |nanoseconds: u64| rounded(nanoseconds as f64 / 1e6);
    json!({
        "count": histogram.len(),
        "mean": rounded(histogram.mean() / 1e6),
        "p50": ms(histogram.value_at_quantile(0.5)),
        "p90": ms(histogram.value_at_quantile(0.9)),
        "p99": ms(histogram.value_at_quantile(0.99)),
        "p999": ms(histogram.value_at_quantile(0.999)),
        "max": ms(histogram.max()),
    })
}

/// The histogram in the common compressed form (HDR V2, deflate, base64), nanoseconds; other tools can merge it.
fn encoded(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

/// The part of the report that all kinds of load share.
pub fn of(options: &Options, topic: &str, measured: &Measured) -> Value {
    let seconds = measured.elapsed.as_secs_f64();
    let counts = measured.counts;
    let per_second = |count: u64| rounded(count as f64 / seconds);
    let is_valid = measured.errors == 0 && counts.requests > 0;
    let verb = match options.verb {
        Verb::Fetch => "fetch",
        Verb::EndToEnd => "end-to-end",
        Verb::Replay => "replay",
        _ => "produce",
    };
    let generator = measured.after.generator.since(measured.before.generator);
    let mut value = json!({
        "isValid": is_valid,
        "errors": measured.errors,
        "firstError": measured.first_error,
        "load": {
            "verb": verb,
            "connections": options.connections,
            "partitions": options.partitions,
            "inflight": options.inflight,
            "records": options.shape_records,
            "valueBytes": options.value_bytes,
            "acks": options.acks,
            "codec": options.codec.name(),
            "consumers": options.consumers,
            "rate": options.rate,
            "arrivals": if options.is_poisson { "poisson" } else { "constant" },
            "seed": options.seed,
            "warmSeconds": options.warm.as_secs_f64(),
            "seconds": options.measured.as_secs_f64(),
            "maxMib": options.max_mib,
            "holdMib": options.hold_mib,
            "topic": topic,
            "topicConfig": options.topic_config.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        },
        "elapsedSeconds": rounded(seconds),
        "requests": counts.requests,
        "records": counts.records,
        "recordsWithWarmUp": measured.total.records,
        "valueBytes": counts.value_bytes,
        "wireBytes": counts.wire_bytes,
        "requestsPerSecond": per_second(counts.requests),
        "recordsPerSecond": per_second(counts.records),
        "valueMibPerSecond": rounded(counts.value_bytes as f64 / MIB / seconds),
        "wireMibPerSecond": rounded(counts.wire_bytes as f64 / MIB / seconds),
        "latencyMs": latency_ms(&measured.latency_ns),
        "latencyHistogram": encoded(&measured.latency_ns),
        "backlogMax": measured.backlog_max,
        "unsent": measured.unsent,
        "generatorCpuSeconds": rounded(generator.total_s()),
    });
    if let (Some(before), Some(after)) = (measured.before.broker, measured.after.broker) {
        let cpu = after.since(before);
        let total_s = cpu.total_s();
        let memories: Vec<_> = options.pids.iter().map(|pid| process::memory(*pid)).collect();
        let resident_kib: u64 = memories.iter().map(|memory| memory.resident_kib).sum();
        let peak_kib: u64 = memories.iter().map(|memory| memory.peak_kib).sum();
        let others = measured.after.machine_busy_s
            - measured.before.machine_busy_s
            - total_s
            - generator.total_s();
        value["broker"] = json!({
            "cpuSeconds": rounded(total_s),
            "userCpuSeconds": rounded(cpu.user_s),
            "systemCpuSeconds": rounded(cpu.system_s),
            "cores": rounded(total_s / seconds),
            "cpuSecondsPerValueGib": rounded(total_s / (counts.value_bytes as f64 / GIB)),
            "cpuSecondsPerWireGib": rounded(total_s / (counts.wire_bytes as f64 / GIB)),
            "cpuSecondsPer100kRequests": rounded(total_s / (counts.requests as f64 / 1e5)),
            "cpuSecondsPerMillionRecords": rounded(total_s / (counts.records as f64 / 1e6)),
            "residentMib": rounded(resident_kib as f64 / 1024.0),
            "peakResidentMib": rounded(peak_kib as f64 / 1024.0),
        });
        if let (Some(before), Some(after)) =
            (measured.before.written_bytes, measured.after.written_bytes)
        {
            let written = after.saturating_sub(before) as f64;
            value["broker"]["writtenMib"] = json!(rounded(written / MIB));
            value["broker"]["writtenPerValueByte"] =
                json!(rounded(written / counts.value_bytes as f64));
        }
        // Everything else that ran meanwhile, kernel threads included: the reason to trust a run or not.
        value["foreignCores"] = json!(rounded(others / seconds));
    }
    value
}
