//! Damage of one partition: finding it in a segment that is in use, keeping it in mind, telling of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, PartitionLog};
use crate::batch::BatchHeader;
use crate::check::{
    Checked, Entry, IndexFault, Progress, Subject, check_epochs, check_offset_index, check_segment,
    check_time_index, is_still_damaged, named_offsets, named_positions,
};
use crate::integrity::{Finding, FindingKind, Hole, read_holes, write_holes};
use crate::io::{FileSystem, read_small};
use crate::segment::{Segment, Store, partition_name};
use crate::statistics::DamagedPartition;
use crate::types::TopicId;

const INDEX_BYTES_MAX: u64 = 64 << 20;

/// Collects what the checks of the files beside a segment need: of the batches only those that an index names.
pub(crate) struct Walk<'a> {
    entries: Vec<Entry>,
    epochs: Vec<(i64, i32)>,
    index: Option<Vec<u8>>,
    time_index: Option<Vec<u8>>,
    /// What the indexes name, ascending: positions, and offsets.
    positions: Vec<u64>,
    offsets: Vec<i64>,
    /// Told how far the walk is; false stops it.
    pace: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Walk<'a> {
    /// Reads the indexes of a segment that is complete; `log` is the path of its log file.
    pub(crate) fn new(
        files: &dyn FileSystem,
        log: &Path,
        base_offset: i64,
        is_complete: bool,
        pace: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        let read = |suffix: &str| {
            let path = log.with_extension(suffix);
            is_complete.then(|| read_small(files, &path, INDEX_BYTES_MAX).ok()).flatten()
        };
        let (index, time_index) = (read("index"), read("timeindex"));
        let mut positions = index.as_deref().map(named_positions).unwrap_or_default();
        let mut offsets = time_index
            .as_deref()
            .map(|bytes| named_offsets(bytes, base_offset))
            .unwrap_or_default();
        positions.sort_unstable();
        offsets.sort_unstable();
        Self {
            entries: Vec::new(),
            epochs: Vec::new(),
            index,
            time_index,
            positions,
            offsets,
            pace,
        }
    }

    /// First fault of each index.
    pub(crate) fn index_faults(&self, base_offset: i64) -> Vec<(FindingKind, IndexFault)> {
        let mut faults = Vec::new();
        if let Some(fault) = self
            .index
            .as_deref()
            .and_then(|bytes| check_offset_index(bytes, base_offset, &self.entries))
        {
            faults.push((FindingKind::OffsetIndex, fault));
        }
        if let Some(fault) = self
            .time_index
            .as_deref()
            .and_then(|bytes| check_time_index(bytes, base_offset, &self.entries))
        {
            faults.push((FindingKind::TimeIndex, fault));
        }
        faults
    }

    /// Where epochs begin, as the batches say: (base offset, epoch).
    pub(crate) fn epochs(&self) -> &[(i64, i32)] {
        &self.epochs
    }
}

impl Progress for Walk<'_> {
    fn at(&mut self, position: u64) -> bool {
        (self.pace)(position)
    }

    fn on_batch(&mut self, position: u64, header: &BatchHeader) -> io::Result<()> {
        let named = self.offsets.partition_point(|offset| *offset < header.base_offset);
        if self.positions.binary_search(&position).is_ok()
            || self.offsets.get(named).is_some_and(|offset| *offset <= header.last_offset())
        {
            self.entries.push((position, header.last_offset(), header.max_timestamp));
        }
        if self.epochs.last().is_none_or(|last| last.1 != header.leader_epoch) {
            self.epochs.push((header.base_offset, header.leader_epoch));
        }
        Ok(())
    }
}

impl PartitionLog {
    /// Segments as they are now.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.inner.lock().segments.clone()
    }

    /// Checks a whole segment now, and sets aside what is bad. Errors of the disk are findings too.
    pub(crate) fn examine(&self, segment: &Arc<Segment>, found_by: &'static str) {
        let Ok(file) = segment.existing() else { return };
        if let Err(error) = self.examine_file(segment, &file, found_by, &mut |_| true) {
            self.report_unreadable(segment, &error, found_by);
        }
    }

    /// A reader saw something wrong: the segment is checked on a thread of its own, once.
    pub(super) fn suspect(&self, segment: &Arc<Segment>) {
        let Some(this) = self.this.upgrade().filter(|_| segment.suspect()) else { return };
        let segment = Arc::clone(segment);
        // Without the thread the background check finds it later; the read is refused in any case.
        let _ = std::thread::Builder::new()
            .name("log-examine".to_owned())
            .spawn(move || this.examine(&segment, "read"));
    }

    pub(crate) fn report_unreadable(
        &self,
        segment: &Segment,
        error: &io::Error,
        found_by: &'static str,
    ) {
        if error.kind() == io::ErrorKind::NotFound || self.is_deleted() {
            return;
        }
        segment.set_unreadable(true);
        self.store.integrity.report(Finding {
            id: 0,
            kind: FindingKind::Unreadable,
            partition: self.label.clone(),
            file: segment.log_path().to_string_lossy().into_owned(),
            position: -1,
            end_position: -1,
            first_offset: -1,
            last_offset: -1,
            detail: error.to_string(),
            reaction: "reads of it fail; appends go on".to_owned(),
            found_by,
        });
    }

    /// As `examine`, through the caller's own descriptor. Answers whether the walk reached the end.
    pub(crate) fn examine_file(
        &self,
        segment: &Arc<Segment>,
        file: &Arc<dyn crate::io::StoreFile>,
        found_by: &'static str,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<bool> {
        let (size, next_base, truncations, is_complete) = {
            let inner = self.inner.lock();
            let Some(at) = inner.segments.iter().position(|known| Arc::ptr_eq(known, segment))
            else {
                return Ok(true);
            };
            let next = inner.segments.get(at + 1);
            let next_base = next.map_or(inner.log_end_offset, |next| next.base_offset);
            // The files of the active segment's indexes lag behind it.
            let is_complete = next.is_some() && segment.is_index_synced();
            (segment.size(), next_base, inner.truncations, is_complete)
        };
        let subject = Subject {
            file: Arc::clone(file),
            base_offset: segment.base_offset,
            size,
            next_base: Some(next_base),
            known_end: None,
            window_bytes: 1 << 20,
        };
        let mut walk = Walk::new(
            self.store.files(),
            &segment.log_path(),
            segment.base_offset,
            is_complete,
            pace,
        );
        let checked = check_segment(&subject, &mut walk)?;
        if checked.is_stopped {
            return Ok(false);
        }
        let inner = self.inner.lock();
        // Retention, deletion and truncation meanwhile make what was read meaningless.
        let is_current = inner.truncations == truncations
            && inner.segments.iter().any(|known| Arc::ptr_eq(known, segment));
        if !is_current || self.is_deleted() || self.is_closed.load(Ordering::Acquire) {
            return Ok(true);
        }
        let epochs = inner.epochs.clone();
        let log_start_offset = inner.log_start_offset;
        drop(inner);
        let mut holes = holes_of(&checked, size, next_base);
        confirm(&mut holes, file, size)?;
        segment.set_unreadable(false);
        if segment.holes().as_deref().unwrap_or_default() != holes.as_slice() {
            // Who hears of a hole finds it set aside, and what is around it readable.
            segment.set_holes(holes.clone());
            self.write_damage();
            for hole in &holes {
                self.store.integrity.report(hole_finding(&self.label, segment, hole, found_by));
            }
        }
        for fault in &checked.epoch_faults {
            self.store.integrity.report(epoch_finding(
                &self.label,
                segment,
                fault.position,
                format!(
                    "the batch of offset {} has leader epoch {}, its neighbours {}",
                    fault.base_offset, fault.epoch, fault.expected
                ),
                found_by,
            ));
        }
        if checked.epoch_faults.is_empty()
            && checked.holes.is_empty()
            && let Some(detail) = check_epochs(&epochs, walk.epochs(), log_start_offset)
            && !self.is_failed()
        {
            self.store.integrity.report(epoch_finding(&self.label, segment, 0, detail, found_by));
        }
        // Batches of a hole are in the indexes and were not seen: nothing can be said then.
        if segment.holes().is_none() && segment.is_index_synced() {
            for (kind, fault) in walk.index_faults(segment.base_offset) {
                let what =
                    if kind == FindingKind::TimeIndex { "time index" } else { "offset index" };
                segment.replace_indexes(what, kind, &fault.detail, found_by)?;
            }
        }
        Ok(true)
    }

    /// What is damaged now; `None` when everything can be read.
    pub(crate) fn damage(&self) -> Option<DamagedPartition> {
        let segments = self.segments();
        let holes = all_holes(&segments);
        let unreadable_count = segments.iter().filter(|segment| segment.is_unreadable()).count();
        if holes.is_empty() && unreadable_count == 0 {
            return None;
        }
        Some(DamagedPartition {
            topic: self.topic().to_owned(),
            partition: self.partition(),
            range_count: holes.len(),
            first_offset: holes.iter().map(|(_, hole)| hole.first_offset).min().unwrap_or(-1),
            last_offset: holes.iter().map(|(_, hole)| hole.next_offset - 1).max().unwrap_or(-1),
            unreadable_count,
        })
    }

    /// Writes what is known to be damaged; kept in memory when the disk does not take it.
    pub(crate) fn write_damage(&self) {
        let holes = all_holes(&self.segments());
        let _ = write_holes(self.store.files(), &self.path(), &holes);
    }

    /// Takes the topic id of the cluster's metadata in place of a damaged one.
    ///
    /// # Errors
    /// The file could not be written: the id is used nevertheless.
    pub fn adopt_topic_id(&self, topic_id: TopicId) -> io::Result<()> {
        let path = self.path().join(crate::checkpoint::PARTITION_METADATA_FILE);
        let was = *self.topic_id.read();
        *self.topic_id.write() = topic_id;
        self.store.integrity.report(Finding {
            id: 0,
            kind: FindingKind::PartitionMetadata,
            partition: self.label.clone(),
            file: path.to_string_lossy().into_owned(),
            position: -1,
            end_position: -1,
            first_offset: -1,
            last_offset: -1,
            detail: format!("it says topic id {was}, the cluster's metadata {topic_id}"),
            reaction: "the cluster's id is used and was written to the file".to_owned(),
            found_by: "recovery",
        });
        crate::io::write_atomically(
            self.store.files(),
            &path,
            crate::checkpoint::encode_partition_metadata(topic_id).as_bytes(),
        )
    }
}

/// Holes of a checked segment; a bad tail of one that is known to go on is one as well.
pub(crate) fn holes_of(checked: &Checked, size: u64, end_offset: i64) -> Vec<Hole> {
    let mut holes = checked.holes.clone();
    if let Some(tail) = &checked.tail {
        holes.push(Hole {
            from: tail.position,
            to: size,
            first_offset: checked.end_offset,
            next_offset: end_offset.max(checked.end_offset),
            detail: tail.detail.clone(),
        });
    }
    holes
}

/// A second look: bytes that are good now were read while something was wrong elsewhere.
fn confirm(
    holes: &mut Vec<Hole>,
    file: &Arc<dyn crate::io::StoreFile>,
    size: u64,
) -> io::Result<()> {
    let mut kept = Vec::new();
    for hole in holes.drain(..) {
        if is_still_damaged(file, size, &hole)? {
            kept.push(hole);
        }
    }
    *holes = kept;
    Ok(())
}

pub(crate) fn all_holes(segments: &[Arc<Segment>]) -> Vec<(i64, Hole)> {
    segments
        .iter()
        .flat_map(|segment| {
            let holes = segment.holes();
            let holes = holes.as_deref().unwrap_or_default().to_vec();
            holes.into_iter().map(|hole| (segment.base_offset, hole))
        })
        .collect()
}

pub(crate) fn hole_finding(
    label: &str,
    segment: &Segment,
    hole: &Hole,
    found_by: &'static str,
) -> Finding {
    Finding {
        id: 0,
        kind: FindingKind::Batch,
        partition: label.to_owned(),
        file: segment.log_path().to_string_lossy().into_owned(),
        position: hole.from as i64,
        end_position: hole.to as i64,
        first_offset: hole.first_offset,
        last_offset: hole.next_offset - 1,
        detail: hole.detail.clone(),
        reaction: "reads of these offsets answer CORRUPT_MESSAGE; all others are served".to_owned(),
        found_by,
    }
}

pub(crate) fn epoch_finding(
    label: &str,
    segment: &Segment,
    position: u64,
    detail: String,
    found_by: &'static str,
) -> Finding {
    Finding {
        id: 0,
        kind: FindingKind::Epoch,
        partition: label.to_owned(),
        file: segment.log_path().to_string_lossy().into_owned(),
        position: position as i64,
        end_position: position as i64,
        first_offset: -1,
        last_offset: -1,
        detail,
        reaction: "the records are good and served; repair writes the right epoch".to_owned(),
        found_by,
    }
}

/// Applies what an earlier run knew to be damaged, as far as it still is. Segments that were just checked have their holes already.
pub(super) fn load_holes(
    store: &Store,
    directory: &Path,
    inner: &Inner,
    is_checked: impl Fn(&Segment) -> bool,
) -> io::Result<()> {
    let files = store.files();
    let known = read_holes(files, directory);
    let is_file_damaged = known.is_none();
    let label = partition_name(&directory.join("x"));
    let mut by_segment: std::collections::BTreeMap<i64, Vec<Hole>> =
        std::collections::BTreeMap::new();
    for (base_offset, hole) in known.unwrap_or_default() {
        by_segment.entry(base_offset).or_default().push(hole);
    }
    let mut is_changed = is_file_damaged;
    for segment in &inner.segments {
        let noted = by_segment.remove(&segment.base_offset).unwrap_or_default();
        let checks = is_checked(segment);
        if checks || (noted.is_empty() && !is_file_damaged) {
            is_changed |=
                checks && segment.holes().as_deref().unwrap_or_default() != noted.as_slice();
            continue;
        }
        if is_file_damaged {
            // What it said is unknown: everything is looked at again.
            let subject = Subject {
                file: segment.file()?,
                base_offset: segment.base_offset,
                size: segment.size(),
                next_base: None,
                known_end: None,
                window_bytes: 256 << 10,
            };
            let mut pace = |_| true;
            let mut walk =
                Walk::new(files, &segment.log_path(), segment.base_offset, false, &mut pace);
            let checked = check_segment(&subject, &mut walk)?;
            segment.set_holes(checked.holes);
        } else {
            let file = segment.file()?;
            let mut kept = Vec::new();
            for hole in noted {
                if hole.to <= segment.size() && is_still_damaged(&file, segment.size(), &hole)? {
                    kept.push(hole);
                } else {
                    is_changed = true;
                }
            }
            segment.set_holes(kept);
        }
        for hole in segment.holes().as_deref().unwrap_or_default() {
            store.integrity.report(hole_finding(&label, segment, hole, "recovery"));
        }
    }
    if is_changed || !by_segment.is_empty() {
        write_holes(files, directory, &all_holes(&inner.segments))?;
    }
    Ok(())
}
