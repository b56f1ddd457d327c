//! The tables of `docs/failure-detection.md`, by hand:
//!
//! ```sh
//! cargo run --release -p sluice-swim --example failure_detection -- kills 300
//! cargo run --release -p sluice-swim --example failure_detection -- false-downs 10
//! cargo run --release -p sluice-swim --example failure_detection -- guard 10
//! cargo run --release -p sluice-swim --example failure_detection -- bursts 10
//! cargo run --release -p sluice-swim --example failure_detection -- pauses 2
//! ```
//!
//! The number is kills a cell, or node-hours a cell; a second one is the seed; a third one, for `false-downs`, takes one loss in percent alone and at most
//! ten nodes. Time is simulated.

#[path = "../tests/world/mod.rs"]
mod world;

use std::time::Duration;

use sluice_swim::{Profile, SwimConfig};
use world::{FalseDowns, Loss, WorldOptions, measure_false_downs, measure_kills, quantile_ms};

const PROFILES: [(Profile, &str); 2] = [(Profile::Default, "default"), (Profile::Fast, "fast")];
const SIZES: [usize; 4] = [3, 5, 10, 30];
const LOSSES: [f64; 3] = [0.0, 0.1, 0.2];
/// A long run is made of worlds of at most this length, each with a seed of its own.
const WORLD_HOURS: f64 = 1.0;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let table = arguments.next().unwrap_or_default();
    let amount: f64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let seed: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let only: Option<f64> = arguments.next().and_then(|text| text.parse().ok());
    match table.as_str() {
        "kills" => kills(amount as usize, seed),
        "false-downs" => false_downs(amount, seed, only),
        "guard" => guard(amount, seed),
        "bursts" => bursts(amount, seed),
        "pauses" => pauses(amount, seed),
        _ => eprintln!("kills | false-downs | guard | bursts | pauses, and how many"),
    }
}

fn options(nodes: usize, profile: Profile, loss: Loss, seed: u64) -> WorldOptions {
    WorldOptions { nodes, config: SwimConfig::of(profile), loss, seed, pause: None }
}

fn kills(count: usize, seed: u64) {
    println!(
        "| profile | nodes | loss | first p50 | p99 | max | every p50 | p99 | max | kills | not seen in 10 s |"
    );
    println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    for (profile, name) in PROFILES {
        for nodes in SIZES {
            for loss in LOSSES {
                let found =
                    measure_kills(&options(nodes, profile, Loss::Independent(loss), seed), count);
                let row = |times: &[Duration]| {
                    [0.5, 0.99, 1.0].map(|q| quantile_ms(times, q).to_string()).join(" | ")
                };
                println!(
                    "| {name} | {nodes} | {:.0} % | {} | {} | {count} | {} |",
                    loss * 100.0,
                    row(&found.first),
                    row(&found.every),
                    found.missed
                );
            }
        }
    }
}

/// Node-hours in worlds of bounded length.
fn hours(options: &WorldOptions, node_hours: f64) -> FalseDowns {
    let mut left = node_hours / options.nodes as f64;
    let mut sum = FalseDowns::default();
    let mut bytes = 0.0;
    let mut seed = options.seed;
    while left > 1e-9 {
        let length = left.min(WORLD_HOURS);
        left -= length;
        seed += 1000;
        let one = measure_false_downs(
            &WorldOptions { seed, ..options.clone() },
            Duration::from_secs_f64(length * 3600.0),
        );
        sum.node_hours += one.node_hours;
        sum.rejoins += one.rejoins;
        sum.reports += one.reports;
        sum.suspicions += one.suspicions;
        sum.guarded_timers += one.guarded_timers;
        bytes += one.bytes_per_node_second * one.node_hours;
    }
    sum.bytes_per_node_second = bytes / sum.node_hours;
    sum
}

/// Upper end of the 95 % interval of a rate of which `events` were seen: 3 for none, else by the Wilson-Hilferty approximation of the
/// Poisson quantile.
fn upper_bound(events: u64) -> f64 {
    if events == 0 {
        return 3.0;
    }
    let k = events as f64 + 1.0;
    k * (1.0 - 1.0 / (9.0 * k) + 1.645 / (3.0 * k.sqrt())).powi(3)
}

fn print_head() {
    println!(
        "| case | nodes | node-hours | false downs | reports | at most an hour (95 %) | suspicions an hour | B/s a node |"
    );
    println!("| --- | --: | --: | --: | --: | --: | --: | --: |");
}

fn print_row(case: &str, nodes: usize, found: &FalseDowns) {
    println!(
        "| {case} | {nodes} | {:.0} | {} | {} | {:.3} | {:.1} | {:.0} |",
        found.node_hours,
        found.rejoins,
        found.reports,
        upper_bound(found.rejoins) / found.node_hours,
        found.suspicions as f64 / found.node_hours,
        found.bytes_per_node_second
    );
}

fn false_downs(node_hours: f64, seed: u64, only: Option<f64>) {
    print_head();
    for (profile, name) in PROFILES {
        for loss in LOSSES {
            for nodes in SIZES {
                if only.is_some_and(|percent| (percent - loss * 100.0).abs() > 0.5 || nodes > 10) {
                    continue;
                }
                let found =
                    hours(&options(nodes, profile, Loss::Independent(loss), seed), node_hours);
                print_row(&format!("{name}, {:.0} %", loss * 100.0), nodes, &found);
            }
        }
    }
}

fn guard(node_hours: f64, seed: u64) {
    print_head();
    for (profile, name) in PROFILES {
        for is_on in [true, false] {
            for nodes in [5, 10] {
                let mut options = options(nodes, profile, Loss::Independent(0.1), seed);
                options.config.suspect_guard = is_on;
                let case = format!("{name}, 10 %, guard {}", if is_on { "on" } else { "off" });
                print_row(&case, nodes, &hours(&options, node_hours));
            }
        }
    }
}

fn bursts(node_hours: f64, seed: u64) {
    print_head();
    for (profile, name) in PROFILES {
        for (share, mean_ms) in [(0.1, 50), (0.1, 200), (0.1, 1000), (0.2, 200)] {
            for nodes in [3, 10] {
                let loss = Loss::Bursts { share, mean: Duration::from_millis(mean_ms) };
                let found = hours(&options(nodes, profile, loss, seed), node_hours);
                let case =
                    format!("{name}, bursts of {mean_ms} ms, {:.0} % of the time", share * 100.0);
                print_row(&case, nodes, &found);
            }
        }
    }
}

fn pauses(node_hours: f64, seed: u64) {
    print_head();
    for (profile, name) in PROFILES {
        for pause_ms in [200, 300, 400, 500, 700, 1000] {
            let mut options = options(5, profile, Loss::Independent(0.01), seed);
            options.pause = Some(Duration::from_millis(pause_ms));
            let case = format!("{name}, 1 %, pauses of {pause_ms} ms");
            print_row(&case, 5, &hours(&options, node_hours));
        }
    }
}
