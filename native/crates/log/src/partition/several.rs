//! One client's request for several partitions: appended to all of them, or to none.
//!
//! Every batch is checked before anything is written, under the locks of all partitions, which are taken in the order of their addresses
//! so that two such requests never wait for each other. (Nobody else holds two of them but who replaces a log by its own copy.) What was
//! admitted stays so until its lock is let go, so only a failed write is left to refuse a batch when others have landed.

use std::fmt;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::admission::{Admitted, Asked};
use super::append::Landed;
use super::{Inner, PartitionLog};
use crate::config::LogConfig;
use crate::contention;
use crate::error::{AppendError, KafkaCode};
use crate::types::{AppendLimits, AppendOutcome, AppendRequest, Origin};
use crate::validate::{Prepared, Rules, prepare_client};

/// One partition's batch in [`PartitionLog::append_several`].
pub struct SeveralAppend<'a> {
    /// Where it goes; each log once.
    pub log: &'a PartitionLog,
    /// One record batch; changed in place, and not kept.
    pub records: &'a mut [u8],
    /// Epoch under which the caller believes it leads; -1 takes any.
    pub leader_epoch: i32,
}

impl fmt::Debug for SeveralAppend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeveralAppend({}, {} bytes)", self.log.label, self.records.len())
    }
}

/// A part of the request on its way.
struct Part<'g> {
    log: &'g PartitionLog,
    config: Arc<LogConfig>,
    request: AppendRequest,
    batch: Prepared,
    /// Until it has landed.
    inner: Option<MutexGuard<'g, Inner>>,
    admitted: Option<Admitted>,
}

/// A part that is done, and nobody told of it.
enum Finished {
    Landed(Landed),
    Settled(AppendOutcome),
}

impl PartitionLog {
    /// Appends what one client sent for several partitions, to each as [`Self::append_within`] would. The outcomes are in the order of
    /// `appends`; one that is an error is a failed write.
    ///
    /// # Errors
    /// The first refusal. Nothing was appended anywhere then; `records` may be changed, as by a refused [`Self::append_within`].
    pub fn append_several(
        appends: &mut [SeveralAppend<'_>],
        acks: i16,
        now_ms: i64,
        limits: &AppendLimits,
    ) -> Result<Vec<Result<AppendOutcome, AppendError>>, AppendError> {
        let mut parts = Vec::with_capacity(appends.len());
        for append in appends.iter_mut() {
            parts.push(prepare(append, acks, now_ms, limits.inline_bytes)?);
        }
        let mut by_address: Vec<usize> = (0..parts.len()).collect();
        by_address.sort_unstable_by_key(|at| parts.get(*at).map(|part| address_of(part.log)));
        let mut last = None;
        for at in by_address {
            let Some(part) = parts.get_mut(at) else { continue };
            if last.replace(address_of(part.log)) == Some(address_of(part.log)) {
                return Err(AppendError::new(
                    KafkaCode::UNKNOWN_SERVER_ERROR,
                    format!("{} is named twice", part.log.label),
                ));
            }
            part.inner = Some(contention::APPEND.lock(&part.log.inner));
        }
        for (part, append) in parts.iter_mut().zip(appends.iter()) {
            part.admit(append.records)?;
        }
        for part in parts.iter().filter(|part| part.is_placed()) {
            part.log.take_room(part.batch.size(), Origin::Client)?;
        }
        let mut finished = Vec::with_capacity(parts.len());
        let (mut has_landed, mut failure) = (false, None);
        for (part, append) in parts.iter_mut().zip(appends.iter_mut()) {
            let part = part.finish(append.records, failure.is_some());
            match &part {
                Ok(Finished::Landed(_)) => has_landed = true,
                Ok(Finished::Settled(_)) => {}
                Err(refusal) => failure = failure.or_else(|| Some(refusal.clone())),
            }
            finished.push(part);
        }
        // No lock is held from here on.
        let outcomes = parts.iter().zip(finished).map(|(part, finished)| match finished? {
            Finished::Landed(landed) => Ok(part.log.tell(&landed)),
            Finished::Settled(outcome) => {
                if outcome.await_sync {
                    part.log.request_sync();
                }
                Ok(outcome)
            }
        });
        let outcomes = outcomes.collect();
        match failure {
            Some(refusal) if !has_landed => Err(refusal),
            _ => Ok(outcomes),
        }
    }
}

fn address_of(log: &PartitionLog) -> usize {
    std::ptr::from_ref(log).addr()
}

/// Checks what needs no lock.
fn prepare<'g>(
    append: &mut SeveralAppend<'g>,
    acks: i16,
    now_ms: i64,
    inline_bytes: u64,
) -> Result<Part<'g>, AppendError> {
    let log = append.log;
    log.refuse_unless_writable()?;
    let config = log.config();
    let rules = Rules { config: &config, label: &log.label, now_ms, is_client: true, inline_bytes };
    let batch = prepare_client(append.records, &rules)?;
    log.check_total(batch.size(), &config)?;
    let leader_epoch = append.leader_epoch;
    let request = AppendRequest { leader_epoch, acks, origin: Origin::Client, now_ms };
    Ok(Part { log, config, request, batch, inner: None, admitted: None })
}

impl Part<'_> {
    fn admit(&mut self, records: &[u8]) -> Result<(), AppendError> {
        let Self { log, config, request, batch, inner, admitted } = self;
        if let Some(inner) = inner {
            let asked = Asked { request, config };
            *admitted = Some(log.admit(inner, std::slice::from_mut(batch), records, &asked)?);
        }
        Ok(())
    }

    fn is_placed(&self) -> bool {
        matches!(self.admitted, Some(Admitted::Placed(_)))
    }

    /// Writes the batch and lets go of the lock.
    fn finish(&mut self, records: &mut [u8], has_failed: bool) -> Result<Finished, AppendError> {
        let Self { log, config, request, batch, inner, admitted } = self;
        let (Some(mut inner), Some(admitted)) = (inner.take(), admitted.take()) else {
            return Err(AppendError::new(KafkaCode::UNKNOWN_SERVER_ERROR, "not admitted"));
        };
        let markers = match admitted {
            Admitted::Placed(markers) => markers,
            Admitted::Settled(outcome) => return Ok(Finished::Settled(outcome)),
        };
        if has_failed {
            // The directory may take nothing any more.
            log.refuse_unless_writable()?;
        }
        let asked = Asked { request, config };
        let batch = std::slice::from_mut(batch);
        log.land(&mut inner, batch, records, &markers, &asked).map(Finished::Landed)
    }
}
