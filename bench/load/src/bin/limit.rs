//! The physical limit: a server that does as little as a log behind Kafka's protocol can do.
//!
//! One thread, epoll. A Produce request is received into a buffer that is reused, its batch's base offset is filled in, the
//! batch is written to the partition's file with one `write`, and a ready-made answer goes back. A Fetch is answered by a
//! ready-made head and `sendfile` of a range of the file, or, where the range is small, by one `pread` and one `send`, which
//! cost less. Nothing is validated (no CRC is looked at), nothing is replicated,
//! nothing survives a restart. With `flush.messages=1` on its topic a partition's file is synced before its answers go: once
//! for all requests that one turn of epoll brought, which is as good as group commit gets.
//!
//! It speaks what `sluice-load` asks for, one batch and one partition a request, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluice_load::api::{self, CORRELATION_ID_AT, TopicId};
use sluice_load::sys::{self, Event, Interest, Poll};
use sluice_load::wire::{Reader, Writer, batch_header};

/// Room of a connection's buffer at first; it grows to its largest request.
const BUFFER_BYTES: usize = 64 << 10;
/// Up to here reading into the answer costs less than a call more.
const SMALL_RANGE_BYTES: usize = 16 << 10;
/// A request longer than this ends its connection.
const MAX_FRAME_BYTES: usize = 128 << 20;
const LISTENER: u64 = u64::MAX;
const NODE_ID: i32 = 1;
/// Versions that it has of each API: the highest that the generator speaks.
const VERSIONS: [(i16, i16); 7] = [
    (api::PRODUCE, api::PRODUCE_VERSIONS.1),
    (api::FETCH, api::FETCH_VERSIONS.1),
    (api::LIST_OFFSETS, api::LIST_OFFSETS_VERSION),
    (api::METADATA, api::METADATA_VERSION),
    (api::API_VERSIONS, api::API_VERSIONS_VERSION),
    (api::CREATE_TOPICS, api::CREATE_TOPICS_VERSION),
    (api::DELETE_TOPICS, api::DELETE_TOPICS_VERSION),
];

struct Partition {
    file: File,
    end_bytes: u64,
    next_offset: i64,
    /// First offset and place of each batch.
    index: Vec<(i64, u64)>,
    /// Connections whose Fetch waits for the next batch, with their requests.
    waiting: Vec<(u64, FetchRequest)>,
    is_dirty: bool,
}

struct Topic {
    is_synced: bool,
    partitions: Vec<Partition>,
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
struct FetchRequest {
    correlation_id: i32,
    topic: TopicId,
    partition: i32,
    offset: i64,
    max_bytes: usize,
}

/// What is to be sent: bytes, or a range of a partition's file.
enum Outgoing {
    Bytes { bytes: Vec<u8>, sent: usize },
    Range { topic: TopicId, partition: usize, at: u64, length: usize },
}

struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    outgoing: VecDeque<Outgoing>,
    interest: Interest,
}

struct Server {
    directory: PathBuf,
    port: u16,
    ids: HashMap<String, TopicId>,
    topics: HashMap<TopicId, Topic>,
    peers: HashMap<u64, Peer>,
    made: u128,
    /// Partitions written in this turn whose topics want a sync.
    dirty: Vec<(TopicId, usize)>,
    /// Connections with something to send.
    ready: Vec<u64>,
}

type Answer<T> = Result<T, String>;

/// A frame with response header v1.
fn answer(correlation_id: i32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i32(correlation_id);
    writer.no_tags();
    body(&mut writer);
    seal(writer.bytes, 0)
}

/// Fills in the length of a frame that `more` bytes follow.
fn seal(mut bytes: Vec<u8>, more: usize) -> Vec<u8> {
    let length = (bytes.len() - 4 + more) as i32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// ApiVersions is answered with header v0, whatever version was asked: version 0 to those who ask for it, else 3.
fn api_versions(correlation_id: i32, version: i16) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i32(correlation_id);
    writer.i16(api::NONE);
    if version < api::API_VERSIONS_VERSION {
        writer.i32(VERSIONS.len() as i32);
    } else {
        writer.compact_length(VERSIONS.len());
    }
    for (key, highest) in VERSIONS {
        writer.i16(key);
        writer.i16(if key == api::API_VERSIONS { 0 } else { highest });
        writer.i16(highest);
        if version >= api::API_VERSIONS_VERSION {
            writer.no_tags();
        }
    }
    if version >= api::API_VERSIONS_VERSION {
        writer.i32(0);
        writer.no_tags();
    }
    seal(writer.bytes, 0)
}

impl Partition {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        Ok(Self {
            file,
            end_bytes: 0,
            next_offset: 0,
            index: Vec::new(),
            waiting: Vec::new(),
            is_dirty: false,
        })
    }

    /// Place of the batch that holds `offset`, and the bytes that a Fetch of `max_bytes` gets: at least one batch.
    fn range(&self, offset: i64, max_bytes: usize) -> Option<(u64, usize)> {
        let next = self.index.partition_point(|(first, _)| *first <= offset);
        let (_, at) = *self.index.get(next.checked_sub(1)?)?;
        let batch_end = self.index.get(next).map_or(self.end_bytes, |(_, place)| *place);
        let left = (self.end_bytes - at) as usize;
        Some((at, left.min(max_bytes.max((batch_end - at) as usize))))
    }
}

impl Server {
    fn topic(&mut self, id: TopicId) -> Answer<&mut Topic> {
        self.topics.get_mut(&id).ok_or_else(|| "an unknown topic".to_owned())
    }

    fn partition(&mut self, id: TopicId, index: i32) -> Answer<&mut Partition> {
        let partitions = &mut self.topic(id)?.partitions;
        partitions.get_mut(index as usize).ok_or_else(|| "an unknown partition".to_owned())
    }

    fn send(&mut self, token: u64, bytes: Vec<u8>) {
        if let Some(peer) = self.peers.get_mut(&token) {
            peer.outgoing.push_back(Outgoing::Bytes { bytes, sent: 0 });
            self.ready.push(token);
        }
    }

    /// Answers one frame; an error ends the connection.
    fn handle(&mut self, token: u64, frame: &mut [u8]) -> Answer<()> {
        let mut reader = Reader::new(frame);
        reader.i32()?;
        let (key, version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
        debug_assert_eq!(reader.position(), CORRELATION_ID_AT + 4);
        if key == api::API_VERSIONS {
            self.send(token, api_versions(correlation_id, version));
            return Ok(());
        }
        if !VERSIONS.contains(&(key, version)) {
            return Err(format!("API {key} v{version}"));
        }
        let client_id_bytes = reader.i16()?.max(0) as usize;
        reader.take(client_id_bytes)?;
        reader.skip_tags()?;
        let at = reader.position();
        match key {
            api::PRODUCE => self.produce(token, correlation_id, frame, at),
            api::FETCH => self.fetch(token, fetch_request(&frame[at..], correlation_id)?),
            api::LIST_OFFSETS => {
                let bytes = self.list_offsets(correlation_id, &frame[at..])?;
                self.send(token, bytes);
                Ok(())
            }
            api::METADATA => {
                let bytes = self.metadata(correlation_id, &frame[at..])?;
                self.send(token, bytes);
                Ok(())
            }
            api::CREATE_TOPICS => {
                let bytes = self.create_topic(correlation_id, &frame[at..])?;
                self.send(token, bytes);
                Ok(())
            }
            _ => {
                let bytes = self.delete_topic(correlation_id, &frame[at..])?;
                self.send(token, bytes);
                Ok(())
            }
        }
    }

    fn produce(
        &mut self,
        token: u64,
        correlation_id: i32,
        frame: &mut [u8],
        at: usize,
    ) -> Answer<()> {
        let mut reader = Reader::new(&frame[at..]);
        reader.i8()?; // no transaction
        reader.i16()?;
        reader.i32()?;
        reader.compact_length()?;
        let id = reader.uuid()?;
        reader.compact_length()?;
        let index = reader.i32()?;
        let length = reader.compact_length()?.unwrap_or(0);
        let batch_at = at + reader.position();
        let batch =
            frame.get_mut(batch_at..batch_at + length).ok_or("a batch ends before its length")?;
        let header = batch_header(batch).ok_or("a batch without a header")?;
        let topic = self.topic(id)?;
        let is_synced = topic.is_synced;
        let partition = topic.partitions.get_mut(index as usize).ok_or("an unknown partition")?;
        let base_offset = partition.next_offset;
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        partition.file.write_all(batch).map_err(|error| error.to_string())?;
        partition.index.push((base_offset, partition.end_bytes));
        partition.end_bytes += length as u64;
        partition.next_offset += header.record_count;
        let waiting = std::mem::take(&mut partition.waiting);
        if is_synced && !partition.is_dirty {
            partition.is_dirty = true;
            self.dirty.push((id, index as usize));
        }
        let bytes = answer(correlation_id, |writer| {
            writer.compact_length(1);
            writer.raw(&id);
            writer.compact_length(1);
            writer.i32(index);
            writer.i16(api::NONE);
            writer.i64(base_offset);
            writer.i64(-1); // create time
            writer.i64(0); // log start
            writer.compact_length(0); // no record errors
            writer.compact_null();
            writer.no_tags();
            writer.no_tags();
            writer.i32(0); // not throttled
            writer.no_tags();
        });
        self.send(token, bytes);
        for (reader_token, request) in waiting {
            self.fetch(reader_token, request)?;
        }
        Ok(())
    }

    fn fetch(&mut self, token: u64, request: FetchRequest) -> Answer<()> {
        let partition = self.partition(request.topic, request.partition)?;
        if request.offset >= partition.next_offset {
            partition.waiting.push((token, request));
            return Ok(());
        }
        let (at, length) =
            partition.range(request.offset, request.max_bytes).ok_or("nothing at that offset")?;
        let end = partition.next_offset;
        let mut writer = Writer::default();
        writer.i32(0);
        writer.i32(request.correlation_id);
        writer.no_tags();
        writer.i32(0); // not throttled
        writer.i16(api::NONE);
        writer.i32(0); // no session
        writer.compact_length(1);
        writer.raw(&request.topic);
        writer.compact_length(1);
        writer.i32(request.partition);
        writer.i16(api::NONE);
        writer.i64(end); // high watermark
        writer.i64(end); // last stable offset
        writer.i64(0); // log start
        writer.compact_null(); // no aborted transactions
        writer.i32(-1); // no preferred replica
        writer.compact_length(length);
        // Behind the records: empty tags of partition, topic and response.
        let tail = vec![0; 3];
        if length <= SMALL_RANGE_BYTES {
            let mut bytes = seal(writer.bytes, length + tail.len());
            let records_at = bytes.len();
            bytes.resize(records_at + length + tail.len(), 0);
            let range = &mut bytes[records_at..records_at + length];
            partition.file.read_exact_at(range, at).map_err(|error| error.to_string())?;
            self.send(token, bytes);
            return Ok(());
        }
        let head = seal(writer.bytes, length + tail.len());
        if let Some(peer) = self.peers.get_mut(&token) {
            peer.outgoing.push_back(Outgoing::Bytes { bytes: head, sent: 0 });
            peer.outgoing.push_back(Outgoing::Range {
                topic: request.topic,
                partition: request.partition as usize,
                at,
                length,
            });
            peer.outgoing.push_back(Outgoing::Bytes { bytes: tail, sent: 0 });
            self.ready.push(token);
        }
        Ok(())
    }

    fn create_topic(&mut self, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
        let mut reader = Reader::new(body);
        reader.compact_length()?;
        let name = reader.compact_string()?.unwrap_or_default();
        let (partitions, replication) = (reader.i32()?, reader.i16()?);
        reader.compact_length()?; // no assignment
        let mut is_synced = false;
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            let key = reader.compact_string()?.unwrap_or_default();
            let value = reader.compact_string()?.unwrap_or_default();
            reader.skip_tags()?;
            is_synced |= key == "flush.messages" && value == "1";
        }
        self.made += 1;
        let id = self.made.to_be_bytes();
        let mut topic = Topic { is_synced, partitions: Vec::new(), paths: Vec::new() };
        for index in 0..partitions.clamp(0, 10_000) {
            let path = self.directory.join(format!("{}-{index}", self.made));
            topic.partitions.push(Partition::create(&path).map_err(|error| error.to_string())?);
            topic.paths.push(path);
        }
        self.ids.insert(name.clone(), id);
        self.topics.insert(id, topic);
        Ok(answer(correlation_id, |writer| {
            writer.i32(0);
            writer.compact_length(1);
            writer.compact_string(&name);
            writer.raw(&id);
            writer.i16(api::NONE);
            writer.compact_null();
            writer.i32(partitions);
            writer.i16(replication);
            writer.compact_length(0);
            writer.no_tags();
            writer.no_tags();
        }))
    }

    fn delete_topic(&mut self, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
        let mut reader = Reader::new(body);
        reader.compact_length()?;
        let name = reader.compact_string()?.unwrap_or_default();
        let id = self.ids.remove(&name).unwrap_or_default();
        if let Some(topic) = self.topics.remove(&id) {
            for path in &topic.paths {
                std::fs::remove_file(path).map_err(|error| error.to_string())?;
            }
        }
        Ok(answer(correlation_id, |writer| {
            writer.i32(0);
            writer.compact_length(1);
            writer.compact_string(&name);
            writer.raw(&id);
            writer.i16(api::NONE);
            writer.compact_null();
            writer.no_tags();
            writer.no_tags();
        }))
    }

    fn metadata(&mut self, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
        let mut reader = Reader::new(body);
        reader.compact_length()?;
        reader.uuid()?;
        let name = reader.compact_string()?.unwrap_or_default();
        let id = *self.ids.get(&name).ok_or("an unknown topic")?;
        let (port, partitions) = (self.port, self.topic(id)?.partitions.len());
        Ok(answer(correlation_id, |writer| {
            writer.i32(0);
            writer.compact_length(1);
            writer.i32(NODE_ID);
            writer.compact_string("127.0.0.1");
            writer.i32(i32::from(port));
            writer.compact_null();
            writer.no_tags();
            writer.compact_null(); // no cluster id
            writer.i32(NODE_ID);
            writer.compact_length(1);
            writer.i16(api::NONE);
            writer.compact_string(&name);
            writer.raw(&id);
            writer.i8(0);
            writer.compact_length(partitions);
            for index in 0..partitions {
                writer.i16(api::NONE);
                writer.i32(index as i32);
                writer.i32(NODE_ID);
                writer.i32(0);
                for nodes in [1, 1, 0] {
                    writer.compact_length(nodes);
                    for _ in 0..nodes {
                        writer.i32(NODE_ID);
                    }
                }
                writer.no_tags();
            }
            writer.i32(i32::MIN);
            writer.no_tags();
            writer.no_tags();
        }))
    }

    fn list_offsets(&mut self, correlation_id: i32, body: &[u8]) -> Answer<Vec<u8>> {
        let mut reader = Reader::new(body);
        reader.i32()?;
        reader.i8()?;
        reader.compact_length()?;
        let name = reader.compact_string()?.unwrap_or_default();
        let id = *self.ids.get(&name).ok_or("an unknown topic")?;
        let mut asked = Vec::new();
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            let index = reader.i32()?;
            reader.i32()?;
            reader.i64()?;
            reader.skip_tags()?;
            asked.push((index, self.partition(id, index)?.next_offset));
        }
        Ok(answer(correlation_id, |writer| {
            writer.i32(0);
            writer.compact_length(1);
            writer.compact_string(&name);
            writer.compact_length(asked.len());
            for (index, offset) in asked {
                writer.i32(index);
                writer.i16(api::NONE);
                writer.i64(-1);
                writer.i64(offset);
                writer.i32(0);
                writer.no_tags();
            }
            writer.no_tags();
            writer.no_tags();
        }))
    }

    /// Syncs what this turn wrote, once a partition, before any of its answers goes.
    fn sync(&mut self) -> io::Result<()> {
        for (id, index) in std::mem::take(&mut self.dirty) {
            let topic = self.topics.get_mut(&id);
            if let Some(partition) = topic.and_then(|topic| topic.partitions.get_mut(index)) {
                partition.is_dirty = false;
                partition.file.sync_data()?;
            }
        }
        Ok(())
    }

    /// Sends what a connection's socket takes.
    fn flush(&mut self, poll: &Poll, token: u64) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(&token) else { return Ok(()) };
        let mut is_blocked = false;
        let mut queued = peer.outgoing.len();
        while let Some(next) = peer.outgoing.front_mut() {
            let (result, left) = match next {
                Outgoing::Bytes { bytes, sent } => {
                    let result = sys::send(&peer.stream, &bytes[*sent..], queued > 1);
                    *sent += result.as_ref().map_or(0, |count| *count);
                    (result, bytes.len() - *sent)
                }
                Outgoing::Range { topic, partition, at, length } => {
                    let file = self
                        .topics
                        .get(topic)
                        .and_then(|topic| topic.partitions.get(*partition))
                        .ok_or_else(|| io::Error::other("its topic is gone"))?;
                    let result = sys::send_file(&peer.stream, &file.file, *at, *length);
                    let count = result.as_ref().map_or(0, |count| *count);
                    *at += count as u64;
                    *length -= count;
                    (result, *length)
                }
            };
            match result {
                Ok(0) if left > 0 => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) if left == 0 => {
                    peer.outgoing.pop_front();
                    queued -= 1;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let interest = if is_blocked { Interest::ReadWrite } else { Interest::Read };
        if interest != peer.interest {
            peer.interest = interest;
            poll.change(&peer.stream, token, interest)?;
        }
        Ok(())
    }

    /// Receives what is there and answers whole frames; false when the connection is over.
    fn receive(&mut self, token: u64) -> Answer<bool> {
        let Some(peer) = self.peers.get_mut(&token) else { return Ok(true) };
        // The buffer is taken out while frames of it are handled: no copy, and no second borrow of the peer.
        let mut buffer = std::mem::take(&mut peer.buffer);
        let mut filled = peer.filled;
        let count = match peer.stream.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Ok(false),
        };
        filled += count;
        let mut start = 0;
        while let Some(prefix) = buffer.get(start..start + 4).filter(|_| filled - start >= 4) {
            let length = Reader::new(prefix).u32()? as usize;
            if length > MAX_FRAME_BYTES {
                return Err(format!("frame of {length} bytes"));
            }
            let end = start + 4 + length;
            if end > filled {
                if 4 + length > buffer.len() {
                    buffer.resize(4 + length, 0);
                }
                break;
            }
            self.handle(token, &mut buffer[start..end])?;
            start = end;
        }
        buffer.copy_within(start..filled, 0);
        if let Some(peer) = self.peers.get_mut(&token) {
            peer.buffer = buffer;
            peer.filled = filled - start;
        }
        Ok(true)
    }
}

fn fetch_request(body: &[u8], correlation_id: i32) -> Answer<FetchRequest> {
    let mut reader = Reader::new(body);
    reader.i32()?; // wait
    reader.i32()?; // minimum
    reader.i32()?; // maximum
    reader.i8()?;
    reader.i32()?;
    reader.i32()?;
    reader.compact_length()?;
    let topic = reader.uuid()?;
    reader.compact_length()?;
    let partition = reader.i32()?;
    reader.i32()?;
    let offset = reader.i64()?;
    reader.i32()?;
    reader.i64()?;
    let max_bytes = reader.i32()?.max(0) as usize;
    Ok(FetchRequest { correlation_id, topic, partition, offset, max_bytes })
}

fn serve(directory: &Path, port: u16) -> io::Result<()> {
    sys::raise_file_limit();
    std::fs::create_dir_all(directory)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new(1024)?;
    poll.add(&listener, LISTENER, Interest::Read)?;
    let mut server = Server {
        directory: directory.to_owned(),
        port: listener.local_addr()?.port(),
        ids: HashMap::new(),
        topics: HashMap::new(),
        peers: HashMap::new(),
        made: 0,
        dirty: Vec::new(),
        ready: Vec::new(),
    };
    let (mut events, mut next_token): (Vec<Event>, u64) = (Vec::new(), 0);
    loop {
        poll.wait(-1, &mut events)?;
        for event in &events {
            if event.token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    poll.add(&stream, next_token, Interest::Read)?;
                    let peer = Peer {
                        stream,
                        buffer: vec![0; BUFFER_BYTES],
                        filled: 0,
                        outgoing: VecDeque::new(),
                        interest: Interest::Read,
                    };
                    server.peers.insert(next_token, peer);
                    next_token += 1;
                }
                continue;
            }
            if event.is_readable {
                match server.receive(event.token) {
                    Ok(true) => {}
                    Ok(false) => {
                        server.peers.remove(&event.token);
                    }
                    Err(message) => {
                        eprintln!("connection {} ended: {message}", event.token);
                        server.peers.remove(&event.token);
                    }
                }
            } else {
                server.ready.push(event.token);
            }
        }
        server.sync()?;
        let mut ready = std::mem::take(&mut server.ready);
        ready.dedup();
        for token in ready {
            if server.flush(&poll, token).is_err() {
                server.peers.remove(&token);
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = arguments.as_slice() else {
        eprintln!("usage: sluice-limit DIRECTORY PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("{port}: not a port");
        return ExitCode::from(2);
    };
    match serve(Path::new(directory), port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
