//! The command line: one verb, then `--name value` pairs.

use std::path::PathBuf;
use std::time::Duration;

use crate::codec::Codec;
use crate::engine::Arrivals;
use crate::produce::BatchShape;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Produce,
    Fetch,
    EndToEnd,
    /// Creates and fills a topic for later fetches, and keeps it.
    Fill,
    /// Deletes the topic named by `--topic`.
    Delete,
    /// Creates the topic named by `--topic` and waits until it can be written to.
    Create,
    /// Waits until every partition of `--topic` answers, and says where each ends.
    Ends,
    /// Drops the pages of all files below `--directory` from the page cache.
    DropCache,
    /// Sends the requests of `--script` round and round, and compares the answers.
    Replay,
    /// Fetches of `--topic` by consumers that do not read the answers.
    Stall,
}

pub const USAGE: &str = "\
usage: sluice-load VERB --bootstrap HOST:PORT [--option value]...

verbs
  produce      one batch a request
  fetch        reads a filled topic round and round (fills one itself unless --topic is given)
  end-to-end   a producer and long-polling consumers on each partition
  fill         creates a topic, fills each partition, keeps it
  create       creates --topic
  ends         waits until all partitions of --topic answer, and prints their end offsets
  delete       deletes --topic
  drop-cache   drops the files below --directory from the page cache (flushed first)
  stall        consumers of --topic that ask and never read, for --seconds
  replay       sends the requests of --script, expects the answers in it

load
  --connections N     default 1; connection i uses partition i mod P, or with more partitions than
                      connections partitions i, i + N, i + 2N … in turn (end-to-end: one a partition)
  --partitions P      default 1
  --inflight K        requests outstanding a connection, default 1 (fetch: always 1)
  --records N         records a batch, default 1
  --value-bytes N     bytes a record value, default 100
  --codec C           none, lz4 or zstd: batches are compressed once, before the run; default none
  --acks A            1 or -1, default 1
  --consumers N       end-to-end: consumers a partition, default 1
  --fetch-bytes N     fetch limit, default: one batch
  --fill-mib N        log to fetch from, MiB of values a partition, fractions too, default 64
  --request-partitions K
                      produce: partitions a request, default 1; fetch: a session over that many, which must be all
  --hot-partitions H  fetch with a session: so many have records ahead, default all
  --idle-connections N
                      produce: that many more connections that only are there, default 0
  --script FILE       replay: connections, requests and answers (see replay.rs)
  --rate R            open loop: requests a second in all; without it a closed loop
  --arrivals X        constant (default) or poisson
  --seed N            values and arrivals, default 1

phases
  --warm-seconds S    not counted, default 1
  --seconds S         measured, default 5
  --max-mib N         ends the measured phase after so many MiB of values
  --hold-mib N        produce: memory touched before and released as the log grows, for
                      machines where free memory is cold (see bench/README.md), default 0

topic and broker
  --topic NAME        default: a name of its own, deleted afterwards
  --topic-config K=V  repeatable; of the topic created
  --replication R     replicas of the topic created, default 1
  --directory DIR     drop-cache: where the files are
  --pid PID           repeatable; broker whose CPU and memory are sampled
";

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub verb: Verb,
    pub bootstrap: String,
    pub connections: usize,
    pub partitions: i32,
    pub inflight: usize,
    pub shape_records: usize,
    pub value_bytes: usize,
    pub codec: Codec,
    pub consumers: usize,
    pub acks: i16,
    pub fetch_bytes: Option<usize>,
    pub fill_mib: f64,
    /// Partitions a request.
    pub together: usize,
    pub hot_partitions: Option<usize>,
    pub idle_connections: usize,
    pub rate: Option<f64>,
    pub is_poisson: bool,
    pub seed: u64,
    pub warm: Duration,
    pub measured: Duration,
    pub max_mib: Option<u64>,
    pub hold_mib: usize,
    pub topic: Option<String>,
    pub topic_config: Vec<(String, String)>,
    pub pids: Vec<u32>,
    pub replication: i16,
    /// File of a replay.
    pub script: Option<PathBuf>,
    /// Files of a drop-cache.
    pub directory: Option<PathBuf>,
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value}: not a number that fits"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, value)?)
        .map_err(|error| format!("{name} {value}: {error}"))
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let Some((verb, pairs)) = arguments.split_first() else { return Err("no verb".to_owned()) };
        let verb = match verb.as_str() {
            "produce" => Verb::Produce,
            "fetch" => Verb::Fetch,
            "end-to-end" => Verb::EndToEnd,
            "fill" => Verb::Fill,
            "delete" => Verb::Delete,
            "create" => Verb::Create,
            "ends" => Verb::Ends,
            "drop-cache" => Verb::DropCache,
            "replay" => Verb::Replay,
            "stall" => Verb::Stall,
            other => return Err(format!("unknown verb {other}")),
        };
        let mut options = Self {
            verb,
            bootstrap: String::new(),
            connections: 1,
            partitions: 1,
            inflight: 1,
            shape_records: 1,
            value_bytes: 100,
            codec: Codec::None,
            consumers: 1,
            acks: 1,
            fetch_bytes: None,
            fill_mib: 64.0,
            together: 1,
            hot_partitions: None,
            idle_connections: 0,
            rate: None,
            is_poisson: false,
            seed: 1,
            warm: Duration::from_secs(1),
            measured: Duration::from_secs(5),
            max_mib: None,
            hold_mib: 0,
            topic: None,
            topic_config: Vec::new(),
            pids: Vec::new(),
            replication: 1,
            script: None,
            directory: None,
        };
        let mut rest = pairs.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
            options.set(name, value)?;
        }
        options.check()?;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--bootstrap" => value.clone_into(&mut self.bootstrap),
            "--connections" => self.connections = number(name, value)?,
            "--partitions" => self.partitions = number(name, value)?,
            "--inflight" => self.inflight = number(name, value)?,
            "--records" => self.shape_records = number(name, value)?,
            "--value-bytes" => self.value_bytes = number(name, value)?,
            "--acks" => self.acks = number(name, value)?,
            "--fetch-bytes" => self.fetch_bytes = Some(number(name, value)?),
            "--fill-mib" => self.fill_mib = number(name, value)?,
            "--request-partitions" => self.together = number(name, value)?,
            "--hot-partitions" => self.hot_partitions = Some(number(name, value)?),
            "--idle-connections" => self.idle_connections = number(name, value)?,
            "--rate" => self.rate = Some(number(name, value)?),
            "--arrivals" => self.is_poisson = value == "poisson",
            "--seed" => self.seed = number(name, value)?,
            "--warm-seconds" => self.warm = seconds(name, value)?,
            "--seconds" => self.measured = seconds(name, value)?,
            "--max-mib" => self.max_mib = Some(number(name, value)?),
            "--hold-mib" => self.hold_mib = number(name, value)?,
            "--topic" => self.topic = Some(value.to_owned()),
            "--topic-config" => {
                let (key, setting) =
                    value.split_once('=').ok_or("--topic-config needs KEY=VALUE")?;
                self.topic_config.push((key.to_owned(), setting.to_owned()));
            }
            "--codec" => {
                self.codec =
                    Codec::parse(value).ok_or_else(|| format!("--codec {value}: unknown"))?;
            }
            "--consumers" => self.consumers = number(name, value)?,
            "--directory" => self.directory = Some(PathBuf::from(value)),
            "--script" => self.script = Some(PathBuf::from(value)),
            "--pid" => self.pids.push(number(name, value)?),
            "--replication" => self.replication = number(name, value)?,
            other => return Err(format!("unknown option {other}")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let rules = [
            (self.hold_mib <= 64 << 10, "--hold-mib: at most 65536"),
            (!self.bootstrap.is_empty() || self.verb == Verb::DropCache, "--bootstrap is missing"),
            (
                (self.verb == Verb::DropCache) == self.directory.is_some(),
                "--directory belongs to drop-cache, and drop-cache to it",
            ),
            ((1..=1000).contains(&self.consumers), "--consumers: 1 to 1000"),
            (
                self.verb != Verb::EndToEnd || self.codec == Codec::None,
                "end to end stamps its records, so they cannot be compressed before",
            ),
            ((1..=10_000).contains(&self.connections), "--connections: 1 to 10000"),
            ((1..=10_000).contains(&self.partitions), "--partitions: 1 to 10000"),
            ((0.0..=65536.0).contains(&self.fill_mib), "--fill-mib: at most 65536"),
            (
                (1..=self.partitions.max(1) as usize).contains(&self.together),
                "--request-partitions: 1 to --partitions",
            ),
            (
                self.verb != Verb::Fetch
                    || self.together == 1
                    || self.together == self.partitions as usize,
                "a fetch session has all partitions",
            ),
            (self.idle_connections <= 20_000, "--idle-connections: at most 20000"),
            ((1..=1000).contains(&self.inflight), "--inflight: 1 to 1000"),
            ((1..=1_000_000).contains(&self.shape_records), "--records: 1 to 1000000"),
            (
                self.shape_records.saturating_mul(self.value_bytes) <= 64 << 20,
                "a batch holds at most 64 MiB",
            ),
            (
                matches!(self.acks, 1 | -1),
                "--acks: 1 or -1 (unanswered requests cannot be checked)",
            ),
            (self.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "--rate: above 0"),
            (
                self.verb != Verb::Fetch || self.inflight == 1,
                "fetch has one request outstanding a connection",
            ),
            (
                (self.verb == Verb::Replay) == self.script.is_some(),
                "--script belongs to replay, and replay to it",
            ),
            (
                !matches!(
                    self.verb,
                    Verb::Fill | Verb::Delete | Verb::Create | Verb::Ends | Verb::Stall
                ) || self.topic.is_some(),
                "--topic is missing",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err((*message).to_owned()),
            None => Ok(()),
        }
    }

    pub fn shape(&self) -> BatchShape {
        BatchShape { records: self.shape_records, value_bytes: self.value_bytes, codec: self.codec }
    }

    pub fn arrivals(&self) -> Arrivals {
        if self.is_poisson { Arrivals::Poisson } else { Arrivals::Constant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn reads_pairs_and_keeps_defaults() -> Result<(), String> {
        let options =
            parse("produce --bootstrap h:1 --records 1200 --acks -1 --topic-config a.b=c=d")?;
        assert_eq!(options.verb, Verb::Produce);
        assert_eq!((options.shape_records, options.acks, options.connections), (1200, -1, 1));
        assert_eq!(options.topic_config, vec![("a.b".to_owned(), "c=d".to_owned())]);
        Ok(())
    }

    #[test]
    fn refuses_what_cannot_be_run() {
        for line in [
            "",
            "dance --bootstrap h:1",
            "produce",
            "produce --bootstrap h:1 --acks 0",
            "produce --bootstrap h:1 --records",
            "fetch --bootstrap h:1 --inflight 2",
            "fill --bootstrap h:1",
            "produce --bootstrap h:1 --rate 0",
            "produce --bootstrap h:1 --seconds -1",
            "produce --bootstrap h:1 --script f",
            "replay --bootstrap h:1",
            "ends --bootstrap h:1",
            "drop-cache",
            "end-to-end --bootstrap h:1 --codec lz4",
            "produce --bootstrap h:1 --codec snappy",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
