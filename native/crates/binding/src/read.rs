//! Fetching: a plan of file slices, which is then copied into memory or handed to the sending thread.
//!
//! Rows of a request:  handle, fetch offset, partition max bytes, current leader epoch or -1, last fetched epoch or -1, log start
//! offset of the follower or -1. Rows of the answer: error, high watermark, last stable offset, log start offset, bytes,
//! diverging epoch or -1, diverging end offset or -1, count of aborted transactions, preferred read replica (-1), reserved.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::Arc;

use napi_derive::napi;
use sluice_log::{
    AbortedTransaction, FileSlice, Isolation, KafkaCode, ReadPlan, ReadRequest, ReadScratch,
    ReplicaFetch,
};
use sluice_sys::{Part, SendJob, SliceSource};

use crate::error::{Result, invalid, unknown};
use crate::slots::SlotTable;
use crate::socket::sender_of;
use crate::store::PARTITIONS;
use crate::views::{BytesMut, NumbersMut};
use crate::write::fill;

const REQUEST_COLUMNS: usize = 6;
const ANSWER_COLUMNS: usize = 10;

/// What one row of a fetch may send.
#[derive(Default)]
pub(crate) struct Row {
    slice: Option<FileSlice>,
    aborted: Vec<AbortedTransaction>,
}

/// What a fetch returns whose records have all been copied: there is no plan.
const COPIED: f64 = -1.0;

thread_local! {
    static SCRATCH: RefCell<ReadScratch> = RefCell::default();
}

pub(crate) static PLANS: SlotTable<Arc<Vec<Row>>> = SlotTable::new();

/// A segment file as the sending thread wants it.
struct SegmentSource(FileSlice);

impl SliceSource for SegmentSource {
    fn file(&self) -> Option<&File> {
        self.0.file.as_file()
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.file.read_at(into, position)
    }
}

/// Bit of an isolation: only the leader may answer.
const LEADER_ONLY: i32 = 4;

/// How far the reader may see, and whether only the leader may answer.
pub(crate) fn isolation_of(isolation: f64) -> Result<(Isolation, bool)> {
    let bits = isolation as i32;
    let leader_only = bits & LEADER_ONLY != 0;
    match bits & !LEADER_ONLY {
        0 => Ok((Isolation::ReadUncommitted, leader_only)),
        1 => Ok((Isolation::ReadCommitted, leader_only)),
        2 => Ok((Isolation::LogEnd, leader_only)),
        other => Err(invalid(format!("isolation {other} is unknown"))),
    }
}

fn unknown_row(answer: &mut [f64]) {
    let code = f64::from(KafkaCode::UNKNOWN_TOPIC_OR_PARTITION.0);
    fill(answer, &[code, -1.0, -1.0, -1.0, 0.0, -1.0, -1.0, 0.0, -1.0, 0.0]);
}

fn answer_row(answer: &mut [f64], read: &ReadPlan) {
    let (epoch, end_offset) = read.diverging.map_or((-1.0, -1.0), |diverging| {
        (f64::from(diverging.epoch), diverging.end_offset as f64)
    });
    fill(
        answer,
        &[
            f64::from(read.code.0),
            read.high_watermark as f64,
            read.last_stable_offset as f64,
            read.log_start_offset as f64,
            read.bytes() as f64,
            epoch,
            end_offset,
            read.aborted.as_ref().map_or(0, Vec::len) as f64,
            -1.0,
            0.0,
        ],
    );
}

/// Plans a fetch of `count` rows (see the top of this file for the columns) and returns the plan's id, or 0 when there is
/// nothing to send and nothing to drop. `isolation` is 0 uncommitted, 1 committed, 2 up to the log end; 4 more when only leaders may answer.
///
/// `maxBytes` bounds all rows together; with `minOneMessage` the first row that has records gives one batch whatever the limits
/// say (KIP-74). A plan keeps its files open: end it with `planSend` or `planDrop`.
#[napi(catch_unwind)]
pub fn fetch(
    requests: &[f64],
    count: f64,
    max_bytes: f64,
    min_one_message: bool,
    isolation: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let (isolation, leader_only) = isolation_of(isolation)?;
    let reader = Reader { isolation, leader_only, replica: None };
    let limits = Limits { max_bytes: max_bytes as i64, min_one_message };
    plan_fetch(requests, count as usize, limits, reader, &mut out, &mut [])
}

/// As `fetch`, and where all records together fit `into` they are copied there, one row's behind the other's, and no plan is made:
/// the answer is then -1. So a small fetch is one call.
#[napi(catch_unwind)]
// Plain values cross from JavaScript without an object to read them from.
#[allow(clippy::too_many_arguments)]
pub fn fetch_into(
    requests: &[f64],
    count: f64,
    max_bytes: f64,
    min_one_message: bool,
    isolation: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
    #[napi(ts_arg_type = "Uint8Array")] mut into: BytesMut<'_>,
) -> Result<f64> {
    let (isolation, leader_only) = isolation_of(isolation)?;
    let reader = Reader { isolation, leader_only, replica: None };
    let limits = Limits { max_bytes: max_bytes as i64, min_one_message };
    plan_fetch(requests, count as usize, limits, reader, &mut out, &mut into)
}

/// `fetch` by the follower `replicaId`, up to the log end. With `isNoted` each row's fetch offset is noted as its log end offset.
#[napi(catch_unwind)]
// Plain values cross from JavaScript without an object to read them from.
#[allow(clippy::too_many_arguments)]
pub fn fetch_as_replica(
    requests: &[f64],
    count: f64,
    max_bytes: f64,
    min_one_message: bool,
    replica_id: f64,
    broker_epoch: f64,
    is_noted: bool,
    now_ms: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let replica = ReplicaFetch {
        id: replica_id as i32,
        broker_epoch: broker_epoch as i64,
        log_start_offset: -1,
        is_noted,
        now_ms: now_ms as i64,
    };
    let reader = Reader { isolation: Isolation::LogEnd, leader_only: true, replica: Some(replica) };
    let limits = Limits { max_bytes: max_bytes as i64, min_one_message };
    plan_fetch(requests, count as usize, limits, reader, &mut out, &mut [])
}

/// How much a fetch wants.
#[derive(Clone, Copy)]
struct Limits {
    max_bytes: i64,
    min_one_message: bool,
}

/// Who fetches.
#[derive(Clone, Copy)]
struct Reader {
    isolation: Isolation,
    leader_only: bool,
    /// A follower; its log start offset is a row's.
    replica: Option<ReplicaFetch>,
}

fn plan_fetch(
    requests: &[f64],
    count: usize,
    limits: Limits,
    reader: Reader,
    out: &mut [f64],
    into: &mut [u8],
) -> Result<f64> {
    let (Some(requests), Some(answers)) = (
        requests.get(..count.saturating_mul(REQUEST_COLUMNS)),
        out.get_mut(..count.saturating_mul(ANSWER_COLUMNS)),
    ) else {
        return Err(invalid("an array is shorter than its rows"));
    };
    let mut scratch = SCRATCH.take();
    let mut budget = limits.max_bytes;
    let mut is_first_due = limits.min_one_message;
    let mut rows = Vec::new();
    let mut copies = Copies { into, length: 0, missing: Vec::new() };
    let lines = requests.chunks_exact(REQUEST_COLUMNS);
    for (index, (request, answer)) in
        lines.zip(answers.chunks_exact_mut(ANSWER_COLUMNS)).enumerate()
    {
        let &[handle, offset, row_bytes, leader_epoch, last_epoch, log_start_offset] = request
        else {
            continue;
        };
        let Some(partition) = PARTITIONS.get(handle) else {
            unknown_row(answer);
            continue;
        };
        let request = ReadRequest {
            offset: offset as i64,
            max_bytes: (row_bytes as i64).min(budget),
            min_one_message: is_first_due,
            isolation: reader.isolation,
            current_leader_epoch: leader_epoch as i32,
            last_fetched_epoch: last_epoch as i32,
            leader_only: reader.leader_only,
            replica: reader.replica.map(|replica| ReplicaFetch {
                log_start_offset: log_start_offset as i64,
                ..replica
            }),
        };
        let read = partition.log.read_with(&request, &mut scratch);
        answer_row(answer, &read);
        let bytes = read.bytes() as i64;
        if bytes > 0 {
            is_first_due = false;
            budget = budget.saturating_sub(bytes).max(0);
            copies.add(index, bytes as usize, &scratch);
        }
        let aborted = read.aborted.unwrap_or_default();
        if bytes > 0 || !aborted.is_empty() {
            rows.resize_with(index, Row::default);
            rows.push(Row { slice: read.slice, aborted });
        }
    }
    SCRATCH.set(scratch);
    if rows.is_empty() {
        return Ok(0.0);
    }
    if rows.iter().all(|row| row.aborted.is_empty()) && copies.finish(&rows) {
        return Ok(COPIED);
    }
    PLANS.insert(Arc::new(rows)).ok_or_else(|| invalid("too many plans are open"))
}

/// Records of a small fetch on their way to the caller's bytes.
struct Copies<'a> {
    into: &'a mut [u8],
    /// Bytes of all rows so far.
    length: usize,
    /// Rows that have to be read yet, and where they go.
    missing: Vec<(usize, usize)>,
}

impl Copies<'_> {
    /// Takes a row's records from the search for them; most often it has them.
    fn add(&mut self, row: usize, bytes: usize, scratch: &ReadScratch) {
        let from = self.length;
        self.length = from.saturating_add(bytes);
        let Some(target) = self.into.get_mut(from..self.length) else { return };
        match scratch.records() {
            Some(records) if records.len() == bytes => target.copy_from_slice(records),
            _ => self.missing.push((row, from)),
        }
    }

    /// Reads what is missing. False where the records do not fit, or could not be read: then the plan decides.
    fn finish(self, rows: &[Row]) -> bool {
        if self.length > self.into.len() {
            return false;
        }
        self.missing.iter().all(|&(row, from)| {
            let Some(slice) = rows.get(row).and_then(|row| row.slice.as_ref()) else {
                return false;
            };
            let length = slice.length as usize;
            let target = self.into.get_mut(from..from + length);
            target.is_some_and(|target| slice.read_into(0, target).is_ok_and(|got| got == length))
        })
    }
}

fn plan_of(plan: f64) -> Result<Arc<Vec<Row>>> {
    PLANS.get(plan).ok_or_else(|| unknown("the plan"))
}

/// Aborted transactions that overlap a row, as JSON: `[[producerId, firstOffset], ...]`, ids as text. The row keeps them.
#[napi(catch_unwind)]
pub fn take_aborted(plan: f64, row: f64) -> Result<String> {
    let plan = plan_of(plan)?;
    let pairs: Vec<(String, i64)> = plan
        .get(row as usize)
        .map(|row| row.aborted.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|aborted| (aborted.producer_id.to_string(), aborted.first_offset))
        .collect();
    serde_json::to_string(&pairs).map_err(|error| invalid(error.to_string()))
}

/// Copies a row's records into `into` at `at` and returns how many bytes; fewer than planned only when `into` ends or the
/// log was truncated meanwhile. Reads the file: on a cold log this waits for the disk.
#[napi(catch_unwind)]
pub fn plan_copy(
    plan: f64,
    row: f64,
    #[napi(ts_arg_type = "Uint8Array")] mut into: BytesMut<'_>,
    at: f64,
) -> Result<f64> {
    let plan = plan_of(plan)?;
    let Some(slice) = plan.get(row as usize).and_then(|row| row.slice.as_ref()) else {
        return Ok(0.0);
    };
    let target = into.get_mut(at as usize..).ok_or_else(|| invalid("the position is outside"))?;
    let count = slice.read_into(0, target).map_err(|error| {
        crate::error::CodedError::new(sluice_log::LogError::IO, error.to_string())
    })?;
    Ok(count as f64)
}

/// Sends a plan on a socket and ends the plan. `head` is the answer without its slices; `cuts` are pairs of a position in it and
/// the row whose slice goes there, ascending. What is in memory and fits the socket's buffer is sent before this returns; all the
/// rest on the sending thread. Returns the status of a send that is over, 0 or an errno; -1 when the completion comes through
/// `drainSent` with `token`: until then nothing else may be written to the socket.
#[napi(catch_unwind)]
pub fn plan_send(
    plan: f64,
    sender_id: f64,
    fd: f64,
    head: &[u8],
    cuts: &[f64],
    token: f64,
) -> Result<f64> {
    // Taken first: the plan ends here, whatever else is wrong.
    let rows = PLANS.remove(plan).ok_or_else(|| unknown("the plan"))?;
    let sender = sender_of(sender_id)?;
    let mut parts = Vec::with_capacity(cuts.len() + 1);
    let mut from = 0;
    for cut in cuts.chunks_exact(2) {
        let &[position, row] = cut else { continue };
        let position = position as usize;
        if position < from || position > head.len() {
            return Err(invalid("the cuts are not ascending positions in the head"));
        }
        if position > from {
            parts.push(Part::Head(from..position));
        }
        from = position;
        if let Some(slice) = rows.get(row as usize).and_then(|row| row.slice.clone()) {
            let (position, length) = (slice.position, slice.length);
            parts.push(Part::Slice { source: Arc::new(SegmentSource(slice)), position, length });
        }
    }
    if from < head.len() {
        parts.push(Part::Head(from..head.len()));
    }
    let job = SendJob { token: token as u64, head: head.to_vec(), parts };
    Ok(sender.send(fd as i32, job).map_or(-1.0, f64::from))
}

/// Ends a plan that is not sent. A plan that has ended already is no matter.
#[napi(catch_unwind)]
pub fn plan_drop(plan: f64) {
    PLANS.remove(plan);
}
