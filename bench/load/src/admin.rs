//! A blocking client for what surrounds a run: version choice, topics, end offsets. One request at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::api::{self, Topic};
use crate::wire::{Reader, Writer};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Kafka takes seconds for thousands of partitions, and minutes where it has not a processor for itself.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(240);
/// Responses of this client are small; more than this is a broken peer.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// A connection for set-up and checks.
pub struct Admin {
    stream: TcpStream,
    correlation_id: i32,
    pub produce_version: i16,
    pub fetch_version: i16,
}

/// Resolves `host:port`.
pub fn resolve(address: &str) -> Result<SocketAddr, String> {
    address
        .to_socket_addrs()
        .map_err(|error| format!("{address}: {error}"))?
        .next()
        .ok_or_else(|| format!("{address}: no address"))
}

impl Admin {
    pub fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .map_err(|error| format!("{address}: {error}"))?;
        let set = || -> std::io::Result<()> {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))
        };
        set().map_err(|error| error.to_string())?;
        let mut admin = Self { stream, correlation_id: 0, produce_version: 0, fetch_version: 0 };
        let versions =
            admin.call(api::API_VERSIONS, api::API_VERSIONS_VERSION, api::api_versions_body)?;
        admin.produce_version = api::pick_version(&versions, api::PRODUCE, api::PRODUCE_VERSIONS)?;
        admin.fetch_version = api::pick_version(&versions, api::FETCH, api::FETCH_VERSIONS)?;
        Ok(admin)
    }

    /// Sends one request and returns the response's body.
    fn call(
        &mut self,
        api_key: i16,
        version: i16,
        body: impl FnOnce(&mut Writer),
    ) -> Result<Vec<u8>, String> {
        self.correlation_id += 1;
        let request = api::frame(api_key, version, self.correlation_id, body);
        let mut exchange = || -> std::io::Result<Vec<u8>> {
            self.stream.write_all(&request)?;
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_RESPONSE_BYTES {
                return Err(std::io::Error::other(format!("response of {length} bytes")));
            }
            let mut response = vec![0; length];
            self.stream.read_exact(&mut response)?;
            Ok(response)
        };
        let response = exchange().map_err(|error| format!("API {api_key}: {error}"))?;
        let mut reader = Reader::new(&response);
        if reader.i32()? != self.correlation_id {
            return Err(format!("API {api_key}: another correlation id came back"));
        }
        if api_key != api::API_VERSIONS {
            reader.skip_tags()?;
        }
        let at = reader.position();
        Ok(response[at..].to_vec())
    }

    /// Creates a topic and waits until all of its partitions have leaders that answer, and all replicas are in sync.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replication: i16,
        config: &[(String, String)],
    ) -> Result<Topic, String> {
        let response = self.call(api::CREATE_TOPICS, api::CREATE_TOPICS_VERSION, |writer| {
            api::create_topics_body(writer, name, partitions, replication, config);
        })?;
        api::created_topic(&response)?;
        self.await_topic(name, partitions)
    }

    /// Waits until all partitions of a topic have leaders that answer, and all replicas are in sync.
    pub fn await_topic(&mut self, name: &str, partitions: i32) -> Result<Topic, String> {
        let deadline = Instant::now() + LEADERS_TIMEOUT;
        loop {
            let response = self.call(api::METADATA, api::METADATA_VERSION, |writer| {
                api::metadata_body(writer, name);
            })?;
            if let Some(topic) = api::ready_topic(&response, partitions as usize)? {
                // Metadata may show a leader before that leader has made the log: its offsets answer once it has.
                if end_offsets(&topic).is_ok() {
                    return Ok(topic);
                }
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{name}: not all partitions have leaders after {LEADERS_TIMEOUT:?}"
                ));
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Looks up a topic that is there already.
    pub fn find_topic(&mut self, name: &str, partitions: i32) -> Result<Topic, String> {
        let response = self.call(api::METADATA, api::METADATA_VERSION, |writer| {
            api::metadata_body(writer, name);
        })?;
        api::ready_topic(&response, partitions as usize)?
            .ok_or_else(|| format!("{name}: no topic of {partitions} partitions with leaders"))
    }

    pub fn delete_topic(&mut self, name: &str) -> Result<(), String> {
        let response = self.call(api::DELETE_TOPICS, api::DELETE_TOPICS_VERSION, |writer| {
            api::delete_topics_body(writer, name);
        })?;
        api::deleted_topic(&response)
    }
}

/// End offset of each partition, asked of its leader.
pub fn end_offsets(topic: &Topic) -> Result<Vec<i64>, String> {
    let mut offsets = vec![-1; topic.leaders.len()];
    let mut addresses = topic.leaders.clone();
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let led: Vec<usize> =
            (0..offsets.len()).filter(|at| topic.leaders.get(*at) == Some(&address)).collect();
        let mut leader = Admin::connect(resolve(&address)?)?;
        let response = leader.call(api::LIST_OFFSETS, api::LIST_OFFSETS_VERSION, |writer| {
            api::list_offsets_body(writer, &topic.name, &led, -1);
        })?;
        api::listed_offsets(&response, &mut offsets)?;
    }
    Ok(offsets)
}

/// Address of each partition's leader.
pub fn leader_addresses(topic: &Topic) -> Result<Vec<SocketAddr>, String> {
    topic.leaders.iter().map(|address| resolve(address)).collect()
}
