//! Appends of several clients at once: one lock, one write, one word to whoever waits, and for each the outcome that it would have had
//! alone, in the order given.
//!
//! Requests are admitted one after another, and those that follow each other in the file are gathered into a *run*, which one `pwrite`
//! takes. A run ends before anything that must know what the run did: a batch of a producer that is in it already, a repeated batch,
//! a change of segments; and before a batch that is too large to be worth a copy. A failed write refuses its run and nothing else.

use std::cell::Cell;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::admission::Asked;
use super::append::{Wanted, bytes_of, remember, settle, stamp};
use super::{Inner, PartitionLog};
use crate::config::LogConfig;
use crate::contention;
use crate::error::{AppendError, KafkaCode};
use crate::segment::Segment;
use crate::types::{AppendLimits, AppendOutcome, AppendRequest, Change, Origin};
use crate::validate::{Prepared, Rules, prepare_client};

/// Most bytes of a run of several batches.
const RUN_BYTES_MAX: usize = 64 << 10;
/// A larger batch is written by itself: copying it would cost more than the call.
const JOINED_BATCH_BYTES_MAX: usize = 16 << 10;

thread_local! {
    /// Where runs are put together.
    static RUN_BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One client's append in [`PartitionLog::append_group`].
#[derive(Debug)]
pub struct GroupedAppend<'a> {
    /// One record batch; changed in place, and not kept.
    pub records: &'a mut [u8],
    /// Epoch under which the caller believes it leads; -1 takes any.
    pub leader_epoch: i32,
    /// 0, 1 or -1 as in Produce.
    pub acks: i16,
    /// What became of it: filled by the call.
    pub outcome: Option<Result<AppendOutcome, AppendError>>,
}

impl PartitionLog {
    /// Appends what several clients sent, in this order, as [`Self::append_within`] would one after another: each has its own outcome, and
    /// a refused one changes nothing for the others, except that requests which share a write share its failure.
    pub fn append_group(
        &self,
        requests: &mut [GroupedAppend<'_>],
        now_ms: i64,
        limits: &AppendLimits,
    ) {
        if self.check_writable().is_err() {
            for request in requests {
                request.outcome = self.refuse_unless_writable().err().map(Err);
            }
            return;
        }
        let config = self.config();
        let rules = Rules {
            config: &config,
            label: &self.label,
            now_ms,
            is_client: true,
            inline_bytes: limits.inline_bytes,
        };
        let mut batches = Vec::with_capacity(requests.len());
        for request in requests.iter_mut() {
            let prepared = prepare_client(request.records, &rules)
                .and_then(|batch| self.check_total(batch.size(), &config).map(|()| batch));
            batches.push(match prepared {
                Ok(batch) => Some(batch),
                Err(refusal) => {
                    request.outcome = Some(Err(refusal));
                    None
                }
            });
        }
        let mut group = Group {
            log: self,
            config: &config,
            now_ms,
            inner: contention::APPEND.lock(&self.inner),
            requests,
            batches,
            run: None,
            has_failed: false,
            needs_sync: false,
            has_landed: false,
            is_committed: false,
        };
        group.append_all();
        let Group { inner, needs_sync, has_landed, is_committed, .. } = group;
        drop(inner);
        if needs_sync {
            self.request_sync();
        }
        if has_landed {
            self.notify(if is_committed { Change::Everything } else { Change::LogEnd });
        }
    }
}

/// A group under the partition's lock.
// What is to be done when the lock is let go, each set on its own: no state machine is hidden in them.
#[allow(clippy::struct_excessive_bools)]
struct Group<'g, 'r> {
    log: &'g PartitionLog,
    config: &'g LogConfig,
    now_ms: i64,
    inner: MutexGuard<'g, Inner>,
    requests: &'g mut [GroupedAppend<'r>],
    /// One per request; `None` once its outcome is known.
    batches: Vec<Option<Prepared>>,
    run: Option<Run>,
    /// Something could not be written: the directory may take nothing any more.
    has_failed: bool,
    needs_sync: bool,
    has_landed: bool,
    is_committed: bool,
}

/// Batches that were admitted and lie next to each other: those of `batches` between two places that have no outcome yet.
struct Run {
    from: usize,
    to: usize,
    count: u64,
    bytes: usize,
    next_offset: i64,
    segment: Arc<Segment>,
    position: u64,
    /// Bits of the producers in it: one that is not set is certainly not there.
    producers: u64,
    /// Batches that the indexes are certain to take.
    count_max: u64,
    /// Largest timestamp that the segment takes.
    timestamp_max: i64,
}

fn producer_bit(producer_id: i64) -> u64 {
    // Ids come in blocks, one after another.
    if producer_id < 0 { 0 } else { 1 << (producer_id & 63) }
}

impl Run {
    /// Whether a batch may follow without a look at the log. What it says no to begins the next run, where everything is looked at.
    fn takes(&self, batch: &Prepared, config: &LogConfig) -> bool {
        let size = batch.size();
        let last_offset = self.next_offset + i64::from(batch.header.last_offset_delta);
        size <= JOINED_BATCH_BYTES_MAX
            && self.bytes + size <= RUN_BYTES_MAX
            && self.producers & producer_bit(batch.header.producer_id) == 0
            && self.count < self.count_max
            && batch.header.max_timestamp <= self.timestamp_max
            && last_offset - self.segment.base_offset <= i64::from(i32::MAX)
            && self.position as i64 + self.bytes as i64 <= config.segment_bytes - size as i64
    }
}

impl Group<'_, '_> {
    fn append_all(&mut self) {
        for at in 0..self.requests.len() {
            let Some(Some(batch)) = self.batches.get(at) else { continue };
            if self.run.as_ref().is_some_and(|run| !run.takes(batch, self.config)) {
                self.write();
            }
            let outcome = match self.admit(at) {
                Ok(None) => continue,
                Ok(Some(duplicate)) => {
                    self.needs_sync |= duplicate.await_sync;
                    Ok(duplicate)
                }
                Err(refusal) => {
                    self.has_failed |= refusal.code == KafkaCode::KAFKA_STORAGE_ERROR;
                    Err(refusal)
                }
            };
            self.finish(at, outcome);
        }
        self.write();
    }

    /// Notes a request's outcome.
    fn finish(&mut self, at: usize, outcome: Result<AppendOutcome, AppendError>) {
        if let (Some(request), Some(batch)) = (self.requests.get_mut(at), self.batches.get_mut(at))
        {
            request.outcome = Some(outcome);
            *batch = None;
        }
    }

    fn request(&self, at: usize) -> AppendRequest {
        let (leader_epoch, acks) =
            self.requests.get(at).map_or((-1, 1), |request| (request.leader_epoch, request.acks));
        AppendRequest { leader_epoch, acks, origin: Origin::Client, now_ms: self.now_ms }
    }

    /// Takes a request into the run, or says that its batch is there already.
    fn admit(&mut self, at: usize) -> Result<Option<AppendOutcome>, AppendError> {
        let (log, config, request) = (self.log, self.config, self.request(at));
        let asked = Asked { request: &request, config };
        if self.has_failed {
            log.refuse_unless_writable()?;
        }
        log.check_role(&self.inner, &request)?;
        log.check_replicas(&self.inner, &request, config)?;
        log.finish_cut(&mut self.inner).map_err(|error| log.refuse_write(&error))?;
        let Some(header) = self.batches.get(at).and_then(Option::as_ref).map(|batch| batch.header)
        else {
            return Ok(None);
        };
        if header.has_producer_id() && self.inner.producers.find_duplicate(&header).is_some() {
            // What it waits for depends on how far the run moves the high watermark.
            self.write();
            return Ok(log.find_duplicate(&self.inner, &header, &asked));
        }
        let next_offset =
            self.run.as_ref().map_or(self.inner.log_end_offset, |run| run.next_offset);
        let Some(Some(batch)) = self.batches.get_mut(at) else { return Ok(None) };
        log.assign(&self.inner, std::slice::from_mut(batch), &request, next_offset)?;
        let header = batch.header;
        if header.has_producer_id() {
            self.inner.producers.check(&header, Origin::Client, &log.label)?;
        }
        log.take_room(header.size(), Origin::Client)?;
        let run = match self.run.take() {
            Some(run) => run,
            None => self.begin(at, &batch_facts(&header, self.now_ms))?,
        };
        self.run = Some(Run {
            to: at + 1,
            count: run.count + 1,
            bytes: run.bytes + header.size(),
            next_offset: header.next_offset(),
            producers: run.producers | producer_bit(header.producer_id),
            ..run
        });
        Ok(None)
    }

    /// An empty run, in the segment that takes its first batch.
    fn begin(&mut self, at: usize, first: &Wanted) -> Result<Run, AppendError> {
        let (log, config) = (self.log, self.config);
        let segment = log.place(&mut self.inner, config, first)?;
        let position = segment.size();
        let max_index_bytes = config.segment_index_bytes;
        let (first_timestamp, count_max) = if position == 0 {
            (first.largest_timestamp, 1)
        } else {
            let tail = segment.tail(max_index_bytes).map_err(|error| log.refuse_write(&error))?;
            (tail.first_timestamp, tail.index_room)
        };
        // A segment whose first batch tells no time goes by the broker's clock, which stands still here: as for the first.
        let timestamp_max = if first_timestamp >= 0 {
            first_timestamp.saturating_add(log.segment_age_limit_ms(segment.base_offset, config))
        } else {
            i64::MAX
        };
        Ok(Run {
            from: at,
            to: at,
            count: 0,
            bytes: 0,
            next_offset: first.base_offset,
            segment,
            position,
            producers: 0,
            count_max,
            timestamp_max,
        })
    }

    /// Writes the run and settles its requests.
    fn write(&mut self) {
        let Some(run) = self.run.take() else { return };
        let written = self.write_bytes(&run);
        if let Err(error) = written {
            self.has_failed = true;
            for at in run.from..run.to {
                if self.batches.get(at).is_some_and(Option::is_some) {
                    let refusal = self.log.refuse_write(&error);
                    self.finish(at, Err(refusal));
                }
            }
            return;
        }
        let members = self.batches.get(run.from..run.to).unwrap_or_default();
        let headers = members.iter().flatten().map(|batch| &batch.header);
        run.segment.note_written(run.position, headers, self.config.index_interval_bytes);
        self.has_landed = true;
        let mut position = run.position;
        for at in run.from..run.to {
            let Some(Some(Prepared { header, .. })) = self.batches.get(at) else { continue };
            let header = *header;
            let inner = &mut self.inner;
            remember(inner, &run.segment, position, &header, None);
            position += header.size() as u64;
            self.is_committed |= self.log.advance(inner, self.config, self.now_ms);
            let request = self.request(at);
            let offsets = (header.base_offset, header.last_offset());
            let record_count = i64::from(header.record_count);
            let outcome = settle(&mut self.inner, &request, self.config, offsets, record_count);
            self.needs_sync |= outcome.await_sync;
            self.finish(at, Ok(outcome));
        }
    }

    fn write_bytes(&mut self, run: &Run) -> std::io::Result<()> {
        let members = run.from..run.to;
        let requests = self.requests.get_mut(members.clone()).unwrap_or_default();
        let batches = self.batches.get_mut(members).unwrap_or_default();
        let mut bytes = RUN_BYTES.take();
        bytes.clear();
        for (request, batch) in requests.iter_mut().zip(batches) {
            let Some(batch) = batch else { continue };
            stamp(request.records, batch);
            let own = bytes_of(request.records, batch);
            if run.count == 1 {
                RUN_BYTES.set(bytes);
                return run.segment.write(own);
            }
            bytes.extend_from_slice(own);
        }
        let written = run.segment.write(&bytes);
        RUN_BYTES.set(bytes);
        written
    }
}

fn batch_facts(header: &crate::batch::BatchHeader, now_ms: i64) -> Wanted {
    Wanted {
        bytes: header.size(),
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        largest_timestamp: header.max_timestamp,
        now_ms,
    }
}
