//! rskafka, a small async Rust client: partition clients only, no consumer groups. Protocol of commands: ../README.md.

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, Utc};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

type Answer = Result<Value, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let bootstrap = arguments
        .iter()
        .position(|argument| argument == "--bootstrap")
        .and_then(|at| arguments.get(at + 1))
        .map_or("127.0.0.1:9092", String::as_str);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let brokers = bootstrap.split(',').map(str::to_owned).collect();
    let client = runtime.block_on(ClientBuilder::new(brokers).build())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let command: Value = serde_json::from_str(&line)?;
        let mut answer = match runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(90), run(&client, &command)).await
        }) {
            Ok(Ok(Some(Value::Object(fields)))) => {
                let mut fields = fields;
                fields.insert("ok".into(), true.into());
                fields
            }
            Ok(Ok(Some(_))) => Map::from_iter([("ok".to_owned(), true.into())]),
            Ok(Ok(None)) => Map::from_iter([
                ("ok".to_owned(), false.into()),
                ("unsupported".to_owned(), format!("no operation {}", command["op"]).into()),
            ]),
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("no answer within 90 s"),
        };
        answer.insert("id".into(), command["id"].clone());
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", Value::Object(answer))?;
        out.flush()?;
    }
    Ok(())
}

fn failed(reason: &str) -> Map<String, Value> {
    Map::from_iter([("ok".to_owned(), false.into()), ("error".to_owned(), reason.into())])
}

async fn run(client: &Client, command: &Value) -> Result<Option<Value>, Box<dyn Error>> {
    Ok(Some(match command["op"].as_str().unwrap_or_default() {
        "describe" => json!({
            "client": "rskafka", "version": "0.6.0", "runtime": "rust",
            "codecs": ["none", "gzip", "snappy", "lz4", "zstd"], "partitioner": null,
            "limits": ["noGroup", "noPartitioner", "noDuplicateHeader", "nullHeaderValue", "noNullHeaderRead", "headersSorted"],
        }),
        "create" => {
            let partitions = i32::try_from(command["partitions"].as_i64().unwrap_or(1))?;
            client.controller_client()?.create_topic(topic(command), partitions, 1, 15_000).await?;
            json!({})
        }
        "remove" => {
            client.controller_client()?.delete_topic(topic(command), 15_000).await?;
            json!({})
        }
        "produce" => produce(client, command).await?,
        "assign" => assign(client, command).await?,
        "watermarks" => watermarks(client, command).await?,
        "offsetsForTimes" => offsets_for_times(client, command).await?,
        _ => return Ok(None),
    }))
}

async fn produce(client: &Client, command: &Value) -> Answer {
    let compression = match command["codec"].as_str().unwrap_or_default() {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::NoCompression,
    };
    let wanted = command["records"].as_array().ok_or("no records")?;
    let mut batches: BTreeMap<i32, Vec<(usize, Record)>> = BTreeMap::new();
    for (at, one) in wanted.iter().enumerate() {
        let mut headers = BTreeMap::new();
        for header in one["headers"].as_array().ok_or("no headers")? {
            let value = bytes(&header[1])?.unwrap_or_default();
            headers.insert(header[0].as_str().unwrap_or_default().to_owned(), value);
        }
        let record = Record {
            key: bytes(&one["key"])?,
            value: bytes(&one["value"])?,
            headers,
            timestamp: timestamp(&one["timestamp"])?,
        };
        let partition =
            i32::try_from(one["partition"].as_i64().ok_or("rskafka needs a partition")?)?;
        batches.entry(partition).or_default().push((at, record));
    }
    let mut placed = vec![Value::Null; wanted.len()];
    for (partition, batch) in batches {
        let (places, records): (Vec<usize>, Vec<Record>) = batch.into_iter().unzip();
        let offsets =
            reader(client, command, partition).await?.produce(records, compression).await?;
        for (at, offset) in places.into_iter().zip(offsets) {
            placed[at] = json!([partition, offset]);
        }
    }
    Ok(json!({ "placed": placed }))
}

async fn assign(client: &Client, command: &Value) -> Answer {
    let count = usize::try_from(command["count"].as_u64().unwrap_or_default())?;
    let timeout = Duration::from_millis(command["timeoutMs"].as_u64().unwrap_or(30_000));
    let started = Instant::now();
    let mut found = Vec::new();
    let mut at: BTreeMap<i32, i64> =
        partitions(command)?.into_iter().map(|partition| (partition, 0)).collect();
    while found.len() < count {
        if started.elapsed() > timeout {
            return Err(format!("{} of {count} records after {timeout:?}", found.len()).into());
        }
        for (partition, next) in &mut at {
            let reader = reader(client, command, *partition).await?;
            let (records, _) = reader.fetch_records(*next, 1..10_000_000, 100).await?;
            for one in records {
                if one.offset < *next || found.len() == count {
                    continue;
                }
                *next = one.offset + 1;
                let headers: Vec<Value> = one
                    .record
                    .headers
                    .iter()
                    .map(|(name, value)| json!([name, BASE64_STANDARD.encode(value)]))
                    .collect();
                found.push(json!({
                    "partition": partition, "offset": one.offset,
                    "timestamp": one.record.timestamp.timestamp_millis(),
                    "key": one.record.key.map(|key| BASE64_STANDARD.encode(key)),
                    "value": one.record.value.map(|value| BASE64_STANDARD.encode(value)),
                    "headers": headers,
                }));
            }
        }
    }
    Ok(json!({ "records": found }))
}

async fn watermarks(client: &Client, command: &Value) -> Answer {
    let mut out = Vec::new();
    for partition in partitions(command)? {
        let reader = reader(client, command, partition).await?;
        out.push(json!({
            "partition": partition,
            "low": reader.get_offset(OffsetAt::Earliest).await?,
            "high": reader.get_offset(OffsetAt::Latest).await?,
        }));
    }
    Ok(json!({ "partitions": out }))
}

async fn offsets_for_times(client: &Client, command: &Value) -> Answer {
    let mut offsets = Map::new();
    for partition in partitions(command)? {
        let at = OffsetAt::Timestamp(timestamp(&command["timestamp"])?);
        let offset = reader(client, command, partition).await?.get_offset(at).await?;
        offsets.insert(partition.to_string(), offset.into());
    }
    Ok(json!({ "offsets": offsets }))
}

async fn reader(
    client: &Client,
    command: &Value,
    partition: i32,
) -> Result<PartitionClient, Box<dyn Error>> {
    Ok(client.partition_client(topic(command), partition, UnknownTopicHandling::Retry).await?)
}

fn topic(command: &Value) -> &str {
    command["topic"].as_str().unwrap_or_default()
}

fn partitions(command: &Value) -> Result<Vec<i32>, Box<dyn Error>> {
    let wanted = command["partitions"].as_array().ok_or("no partitions")?;
    Ok(wanted.iter().map(|one| one.as_i64().unwrap_or(-1).try_into()).collect::<Result<_, _>>()?)
}

fn bytes(text: &Value) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    Ok(text.as_str().map(|text| BASE64_STANDARD.decode(text)).transpose()?)
}

fn timestamp(value: &Value) -> Result<DateTime<Utc>, Box<dyn Error>> {
    let millis = value.as_i64().ok_or("no timestamp")?;
    Ok(DateTime::from_timestamp_millis(millis).ok_or("timestamp out of range")?)
}
