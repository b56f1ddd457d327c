//! Load generator for brokers that speak the Kafka protocol.
//!
//! One thread, requests encoded once, bodies of fetches discarded in the kernel: its own CPU is small, so what a run shows
//! is the broker. It makes its topic, drives the load, checks every answer and the log's end, samples the broker's CPU and
//! memory, and prints one JSON object. A run with any error has `"isValid": false` and exit code 1: it has no score.

use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use sluice_load::admin::Admin;
use sluice_load::api::{FetchLimits, Topic};
use sluice_load::engine::{Measured, Plan};
use sluice_load::fetch::Fetch;
use sluice_load::options::{Options, Verb};
use sluice_load::produce::Produce;
use sluice_load::replay::Replay;
use sluice_load::session_fetch::{Reading, SessionFetch};
use sluice_load::{admin, end_to_end, engine, options, produce, report, stall, sys};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(result) => {
            println!("{result}");
            if result["isValid"] == Value::Bool(false) {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(message) => {
            println!("{}", json!({ "isValid": false, "errors": 1, "firstError": message }));
            ExitCode::FAILURE
        }
    }
}

fn plan(options: &Options) -> Result<Plan, String> {
    Ok(Plan {
        addresses: vec![admin::resolve(&options.bootstrap)?],
        inflight: options.inflight,
        rate: options.rate,
        arrivals: options.arrivals(),
        seed: options.seed,
        warm: options.warm,
        measured: options.measured,
        max_value_bytes: options.max_mib.map_or(u64::MAX, |mib| mib << 20),
        broker_pids: options.pids.clone(),
        hold_bytes: if options.verb == Verb::Produce { options.hold_mib << 20 } else { 0 },
    })
}

fn run(options: &Options) -> Result<Value, String> {
    if let Some(directory) = &options.directory {
        let files = sys::drop_cache(directory).map_err(|error| error.to_string())?;
        return Ok(json!({ "isValid": true, "files": files }));
    }
    sys::raise_file_limit();
    let mut plan = plan(options)?;
    if let Some(path) = &options.script {
        let mut work = Replay::read(path)?;
        let connections = work.connections();
        let measured = engine::run(&plan, connections, &mut work)?;
        return Ok(report::of(options, "", &measured));
    }
    let mut admin = Admin::connect(plan.address(0)?)?;
    let own_name = format!("load-{}-{}", std::process::id(), produce::wall_ms());
    let name = options.topic.clone().unwrap_or(own_name);
    let is_own = options.topic.is_none();
    match options.verb {
        Verb::Replay | Verb::DropCache => Err("an option is missing".to_owned()),
        Verb::Create => {
            create(&mut admin, &mut plan, &name, options.partitions, options)?;
            Ok(json!({ "isValid": true, "topic": name }))
        }
        Verb::Ends => {
            let topic = admin.await_topic(&name, options.partitions)?;
            let end_offsets = admin::end_offsets(&topic)?;
            Ok(json!({ "isValid": true, "topic": name, "endOffsets": end_offsets }))
        }
        Verb::Delete => {
            admin.delete_topic(&name)?;
            Ok(json!({ "isValid": true, "deleted": name }))
        }
        Verb::Fill => {
            let topic = create(&mut admin, &mut plan, &name, options.partitions, options)?;
            let filled = fill(&mut admin, &plan, options, &topic)?;
            Ok(
                json!({ "isValid": true, "topic": name, "batchBytes": filled.batch_bytes, "endOffsets": filled.end_offsets }),
            )
        }
        Verb::Stall => {
            let topic = admin.find_topic(&name, options.partitions)?;
            plan.addresses = admin::leader_addresses(&topic)?;
            let limits = FetchLimits {
                max_wait_ms: 500,
                min_bytes: 1,
                max_bytes: options.fetch_bytes.unwrap_or(1 << 20) as i32,
            };
            stall::run(&plan, admin.fetch_version, &topic, limits, options.connections)
        }
        Verb::Produce => {
            let topic = create(&mut admin, &mut plan, &name, options.partitions, options)?;
            let outcome = produce(&mut admin, &plan, options, &topic);
            finish(&mut admin, &name, is_own, outcome)
        }
        Verb::EndToEnd => {
            let topic = create(&mut admin, &mut plan, &name, options.partitions, options)?;
            let versions = (admin.produce_version, admin.fetch_version);
            let load = end_to_end::Load {
                shape: options.shape(),
                acks: options.acks,
                consumers: options.consumers,
            };
            let outcome = end_to_end::run(&plan, versions, &topic, load).map(|result| {
                let mut value = report::of(options, &name, &result.run);
                value["produceLatencyMs"] = report::latency_ms(&result.produce_ns);
                value
            });
            finish(&mut admin, &name, is_own, outcome)
        }
        Verb::Fetch => {
            let (topic, filled) = if is_own {
                let topic = create(&mut admin, &mut plan, &name, options.partitions, options)?;
                let filled = fill(&mut admin, &plan, options, &topic)?;
                (topic, filled)
            } else {
                let topic = admin.find_topic(&name, options.partitions)?;
                plan.addresses = admin::leader_addresses(&topic)?;
                let end_offsets = admin::end_offsets(&topic)?;
                let batch_bytes = options.shape().encode(options.seed, 0)?.len();
                (topic, Filled { batch_bytes, end_offsets })
            };
            let outcome = fetch(&admin, &plan, options, &topic, &filled);
            finish(&mut admin, &name, is_own, outcome)
        }
    }
}

/// Creates the topic, and sends each connection of the plan to the leader of its partition.
fn create(
    admin: &mut Admin,
    plan: &mut Plan,
    name: &str,
    partitions: i32,
    options: &Options,
) -> Result<Topic, String> {
    let topic = admin.create_topic(name, partitions, options.replication, &options.topic_config)?;
    plan.addresses = admin::leader_addresses(&topic)?;
    Ok(topic)
}

/// Removes a topic of our own, whatever became of the run.
fn finish(
    admin: &mut Admin,
    name: &str,
    is_own: bool,
    outcome: Result<Value, String>,
) -> Result<Value, String> {
    if is_own {
        admin.delete_topic(name)?;
    }
    outcome
}

fn produce(
    admin: &mut Admin,
    plan: &Plan,
    options: &Options,
    topic: &Topic,
) -> Result<Value, String> {
    let version = admin.produce_version;
    let shape = options.shape();
    let mut work = Produce::new(
        version,
        topic.clone(),
        options.partitions,
        options.acks,
        shape,
        options.seed,
        options.connections,
        options.together,
    )?;
    let idle = idle_connections(plan, options.idle_connections)?;
    let mut measured = engine::run(plan, options.connections, &mut work)?;
    drop(idle);
    if measured.errors == 0 {
        let end_offsets = admin::end_offsets(topic)?;
        refuse(&mut measured, work.verify(&end_offsets));
    }
    let mut value = report::of(options, &topic.name, &measured);
    value["apiVersion"] = json!(version);
    value["batchBytes"] = json!(work.batch_bytes());
    Ok(value)
}

/// Connections that only are there.
fn idle_connections(plan: &Plan, count: usize) -> Result<Vec<TcpStream>, String> {
    (0..count)
        .map(|index| TcpStream::connect(plan.address(index)?).map_err(|error| error.to_string()))
        .collect()
}

fn refuse(measured: &mut Measured, verdict: Result<(), String>) {
    if let Err(message) = verdict {
        measured.errors += 1;
        measured.first_error.get_or_insert(message);
    }
}

struct Filled {
    batch_bytes: usize,
    end_offsets: Vec<i64>,
}

/// Connections that fill a topic, at most.
const FILL_CONNECTIONS: usize = 64;

/// Fills each partition with about the same number of equal batches.
fn fill(
    admin: &mut Admin,
    plan: &Plan,
    options: &Options,
    topic: &Topic,
) -> Result<Filled, String> {
    let shape = options.shape();
    let connections = (options.partitions as usize).min(FILL_CONNECTIONS);
    let mut work = Produce::new(
        admin.produce_version,
        topic.clone(),
        options.partitions,
        1,
        shape,
        options.seed,
        connections,
        1,
    )?;
    let partitions = options.partitions as usize;
    let fill_plan = Plan {
        addresses: plan.addresses.clone(),
        inflight: 5,
        rate: None,
        arrivals: plan.arrivals,
        seed: plan.seed,
        warm: Duration::ZERO,
        measured: Duration::from_secs(600),
        max_value_bytes: (options.fill_mib * 1_048_576.0 * partitions as f64) as u64,
        broker_pids: Vec::new(),
        hold_bytes: 0,
    };
    let measured = engine::run(&fill_plan, connections, &mut work)?;
    if let Some(message) = measured.first_error {
        return Err(format!("filling {}: {message}", topic.name));
    }
    let end_offsets = admin::end_offsets(topic)?;
    work.verify(&end_offsets)?;
    Ok(Filled { batch_bytes: work.batch_bytes(), end_offsets })
}

fn fetch(
    admin: &Admin,
    plan: &Plan,
    options: &Options,
    topic: &Topic,
    filled: &Filled,
) -> Result<Value, String> {
    let limits = FetchLimits {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: options.fetch_bytes.unwrap_or(filled.batch_bytes) as i32,
    };
    let (version, batch_bytes) = (admin.fetch_version, filled.batch_bytes);
    let end_offsets = filled.end_offsets.clone();
    let shape = options.shape();
    if options.together > 1 {
        let hot = options.hot_partitions.unwrap_or(options.together);
        let limits = FetchLimits { max_bytes: 50 << 20, ..limits };
        let reading =
            Reading { version, topic: topic.clone(), limits, shape, batch_bytes, end_offsets, hot };
        let mut work = SessionFetch::new(reading);
        let measured = engine::run(plan, options.connections, &mut work)?;
        let mut value = report::of(options, &topic.name, &measured);
        value["apiVersion"] = json!(version);
        return Ok(value);
    }
    let mut work = Fetch::new(
        version,
        topic.clone(),
        limits,
        shape,
        batch_bytes,
        end_offsets,
        options.connections,
    );
    let measured = engine::run(plan, options.connections, &mut work)?;
    let mut value = report::of(options, &topic.name, &measured);
    value["apiVersion"] = json!(version);
    value["batchBytes"] = json!(batch_bytes);
    value["fetchBytes"] = json!(limits.max_bytes);
    Ok(value)
}
