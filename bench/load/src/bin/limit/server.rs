//! One thread of the server: its connections, the frames that come on them, and what goes back.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use sluice_load::api::{self, CORRELATION_ID_AT, TopicId};
use sluice_load::sys::{self, Interest, Poll};
use sluice_load::wire::{Reader, Writer, batch_header};

use crate::Answer;
use crate::admin::{self, VERSIONS};
use crate::topics::{Shared, Topic, locked};

/// Room of a connection's buffer at first; it grows to its largest request.
const BUFFER_BYTES: usize = 64 << 10;
/// Up to here reading into the answer costs less than a call more.
const SMALL_RANGE_BYTES: usize = 16 << 10;
/// A request longer than this ends its connection.
const MAX_FRAME_BYTES: usize = 128 << 20;

#[derive(Clone, Copy)]
pub struct FetchRequest {
    correlation_id: i32,
    topic: TopicId,
    partition: i32,
    offset: i64,
    max_bytes: usize,
}

/// What is to be sent: bytes, or a range of a partition's file.
enum Outgoing {
    Bytes { bytes: Vec<u8>, sent: usize },
    Range { file: Arc<File>, at: u64, length: usize },
}

struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    outgoing: VecDeque<Outgoing>,
    interest: Interest,
}

pub struct Server {
    shared: Arc<Shared>,
    /// Which thread this is.
    thread: usize,
    /// Topics as they were looked up, of this generation.
    topics: HashMap<TopicId, Arc<Topic>>,
    generation: u64,
    peers: HashMap<u64, Peer>,
    next_token: u64,
    /// Files written in this turn whose topics want a sync.
    dirty: Vec<Arc<File>>,
    /// Connections with something to send.
    ready: Vec<u64>,
}

/// A frame with response header v1.
pub fn answer(correlation_id: i32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i32(correlation_id);
    writer.no_tags();
    body(&mut writer);
    seal(writer.bytes, 0)
}

/// Fills in the length of a frame that `more` bytes follow.
pub fn seal(mut bytes: Vec<u8>, more: usize) -> Vec<u8> {
    let length = (bytes.len() - 4 + more) as i32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

impl Server {
    pub fn new(shared: Arc<Shared>, thread: usize) -> Self {
        Self {
            shared,
            thread,
            topics: HashMap::new(),
            generation: 0,
            peers: HashMap::new(),
            next_token: 0,
            dirty: Vec::new(),
            ready: Vec::new(),
        }
    }

    pub fn accept(&mut self, poll: &Poll, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, self.next_token, Interest::Read)?;
        let peer = Peer {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            outgoing: VecDeque::new(),
            interest: Interest::Read,
        };
        self.peers.insert(self.next_token, peer);
        self.next_token += 1;
        Ok(())
    }

    /// A connection's socket was reported.
    pub fn on_event(&mut self, token: u64, is_readable: bool) {
        if !is_readable {
            self.ready.push(token);
            return;
        }
        match self.receive(token) {
            Ok(true) => {}
            Ok(false) => {
                self.peers.remove(&token);
            }
            Err(message) => {
                eprintln!("connection {token} ended: {message}");
                self.peers.remove(&token);
            }
        }
    }

    /// Takes the fetches that another thread's produce woke.
    pub fn take_woken(&mut self) {
        let woken = std::mem::take(&mut *locked(&self.shared.inboxes[self.thread].requests));
        for (token, request) in woken {
            // A topic that went meanwhile: its reader finds out by itself.
            let _ = self.fetch(token, request);
        }
    }

    /// Ends a turn: syncs what it wrote, then sends its answers.
    pub fn finish_turn(&mut self, poll: &Poll) -> io::Result<()> {
        for file in self.dirty.drain(..) {
            file.sync_data()?;
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.dedup();
        for token in ready {
            if self.flush(poll, token).is_err() {
                self.peers.remove(&token);
            }
        }
        Ok(())
    }

    fn topic(&mut self, id: TopicId) -> Answer<Arc<Topic>> {
        let generation = self.shared.generation();
        if generation != self.generation {
            self.topics.clear();
            self.generation = generation;
        }
        if let Some(topic) = self.topics.get(&id) {
            return Ok(Arc::clone(topic));
        }
        let topic = self.shared.topic(id)?;
        self.topics.insert(id, Arc::clone(&topic));
        Ok(topic)
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
            self.send(token, admin::api_versions(correlation_id, version));
            return Ok(());
        }
        if !VERSIONS.contains(&(key, version)) {
            return Err(format!("API {key} v{version}"));
        }
        let client_id_bytes = reader.i16()?.max(0) as usize;
        reader.take(client_id_bytes)?;
        reader.skip_tags()?;
        let at = reader.position();
        let bytes = match key {
            api::PRODUCE => return self.produce(token, correlation_id, frame, at),
            api::FETCH => return self.fetch(token, fetch_request(&frame[at..], correlation_id)?),
            api::LIST_OFFSETS => admin::list_offsets(&self.shared, correlation_id, &frame[at..])?,
            api::METADATA => admin::metadata(&self.shared, correlation_id, &frame[at..])?,
            api::CREATE_TOPICS => admin::create_topic(&self.shared, correlation_id, &frame[at..])?,
            _ => admin::delete_topic(&self.shared, correlation_id, &frame[at..])?,
        };
        self.send(token, bytes);
        Ok(())
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
        let count = reader.compact_length()?.unwrap_or(0);
        let mut next = at + reader.position();
        let topic = self.topic(id)?;
        let mut rows = Writer::default();
        let mut woken = Vec::new();
        for _ in 0..count {
            let mut reader = Reader::new(&frame[next..]);
            let index = reader.i32()?;
            let length = reader.compact_length()?.unwrap_or(0);
            let batch_at = next + reader.position();
            let batch = frame
                .get_mut(batch_at..batch_at + length)
                .ok_or("a batch ends before its length")?;
            next = batch_at + length + 1; // its empty tags
            let header = batch_header(batch).ok_or("a batch without a header")?;
            let mut partition = topic.partition(index)?;
            let base_offset = partition.next_offset;
            batch[..8].copy_from_slice(&base_offset.to_be_bytes());
            write_whole(&partition.file, batch).map_err(|error| error.to_string())?;
            let place = partition.end_bytes;
            partition.index.push((base_offset, place));
            partition.end_bytes += length as u64;
            partition.next_offset += header.record_count;
            woken.append(&mut partition.waiting);
            if topic.is_synced && !self.dirty.iter().any(|file| Arc::ptr_eq(file, &partition.file))
            {
                self.dirty.push(Arc::clone(&partition.file));
            }
            drop(partition);
            rows.i32(index);
            rows.i16(api::NONE);
            rows.i64(base_offset);
            rows.i64(-1); // create time
            rows.i64(0); // log start
            rows.compact_length(0); // no record errors
            rows.compact_null();
            rows.no_tags();
        }
        let bytes = answer(correlation_id, |writer| {
            writer.compact_length(1);
            writer.raw(&id);
            writer.compact_length(count);
            writer.raw(&rows.bytes);
            writer.no_tags();
            writer.i32(0); // not throttled
            writer.no_tags();
        });
        self.send(token, bytes);
        for (thread, reader_token, request) in woken {
            if thread == self.thread {
                self.fetch(reader_token, request)?;
            } else {
                let inbox = &self.shared.inboxes[thread];
                locked(&inbox.requests).push((reader_token, request));
                inbox
                    .alarm
                    .ring_after(std::time::Duration::ZERO)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, token: u64, request: FetchRequest) -> Answer<()> {
        let topic = self.topic(request.topic)?;
        let mut partition = topic.partition(request.partition)?;
        if request.offset >= partition.next_offset {
            partition.waiting.push((self.thread, token, request));
            return Ok(());
        }
        let (at, length) =
            partition.range(request.offset, request.max_bytes).ok_or("nothing at that offset")?;
        let (end, file) = (partition.next_offset, Arc::clone(&partition.file));
        drop(partition);
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
            file.read_exact_at(range, at).map_err(|error| error.to_string())?;
            self.send(token, bytes);
            return Ok(());
        }
        let head = seal(writer.bytes, length + tail.len());
        if let Some(peer) = self.peers.get_mut(&token) {
            peer.outgoing.push_back(Outgoing::Bytes { bytes: head, sent: 0 });
            peer.outgoing.push_back(Outgoing::Range { file, at, length });
            peer.outgoing.push_back(Outgoing::Bytes { bytes: tail, sent: 0 });
            self.ready.push(token);
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
                Outgoing::Range { file, at, length } => {
                    let result = sys::send_file(&peer.stream, &**file, *at, *length);
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

/// Writes all of `bytes` at the end of a file that is open for appending.
fn write_whole(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut file, bytes)
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
