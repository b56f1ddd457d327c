//! What is known to be damaged: findings for people, holes for readers.
//!
//! A hole is a run of bytes of a segment that is not what was appended, with the offsets that were in it. Reads that touch it are refused,
//! reads before and after it are served, appends go on behind it. Holes are kept in the file `damaged-ranges` of the partition, because
//! a clean stop makes the next start look only at a log's end; each is looked at again when the partition is opened, so that a
//! file that was restored heals by itself.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::batch::{crc32c, crc32c_of_two};
use crate::io::{FileSystem, read_small, write_atomically};

/// Known damage of a partition.
pub const DAMAGED_RANGES_FILE: &str = "damaged-ranges";
/// Findings kept for whoever asks; older ones are only counted.
const FINDINGS_MAX: usize = 1000;
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What kind of file or property is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FindingKind {
    /// Records that cannot be read any more.
    Batch,
    /// A torn tail of an unclean stop, cut.
    TornTail,
    /// Leader epoch in a batch that contradicts its neighbours: the records are good.
    Epoch,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Snapshot,
    EpochCheckpoint,
    OffsetCheckpoint,
    PartitionMetadata,
    MetaProperties,
    /// A file that cannot be read at all.
    Unreadable,
}

/// One thing that is wrong, or was until it was made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Ascending in the order of discovery; 0 offline.
    pub id: u64,
    /// What is damaged.
    pub kind: FindingKind,
    /// `topic-partition`; empty for files of the whole directory.
    pub partition: String,
    /// Path of the file.
    pub file: String,
    /// First byte; -1 when the whole file is meant.
    pub position: i64,
    /// Byte after the last; -1 as above.
    pub end_position: i64,
    /// First offset that cannot be read; -1 when nothing is lost.
    pub first_offset: i64,
    /// Last offset that cannot be read; -1 when nothing is lost.
    pub last_offset: i64,
    /// What was seen.
    pub detail: String,
    /// What was done about it, or can be.
    pub reaction: String,
    /// `recovery`, `scrub`, `read` or `verify`.
    pub found_by: &'static str,
}

impl Finding {
    /// Whether records are lost by it.
    pub fn loses_records(&self) -> bool {
        self.first_offset >= 0
    }
}

/// What the scrub and everybody else found, of one store.
#[derive(Default)]
pub(crate) struct Integrity {
    next_id: AtomicU64,
    findings: Mutex<VecDeque<Finding>>,
    /// Partitions of which records could not be read at some time: where to look for what is damaged now.
    damaged: Mutex<BTreeSet<String>>,
}

impl Integrity {
    /// Both lists, held.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> impl Sized {
        (self.findings.lock(), self.damaged.lock())
    }

    /// Adds a finding, unless the same one is known.
    pub(crate) fn report(&self, mut finding: Finding) {
        if matches!(finding.kind, FindingKind::Batch | FindingKind::Unreadable)
            && !finding.partition.is_empty()
        {
            self.damaged.lock().insert(finding.partition.clone());
        }
        let mut findings = self.findings.lock();
        let is_known = findings.iter().any(|known| {
            known.kind == finding.kind
                && known.file == finding.file
                && known.position == finding.position
                && known.first_offset == finding.first_offset
        });
        if is_known {
            return;
        }
        finding.id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        if findings.len() == FINDINGS_MAX {
            findings.pop_front();
        }
        findings.push_back(finding);
    }

    /// All that is kept, after the finding of this id.
    pub(crate) fn after(&self, id: u64) -> Vec<Finding> {
        self.findings.lock().iter().filter(|finding| finding.id > id).cloned().collect()
    }

    /// Names of partitions that were found damaged since the start, whether they still are or not.
    pub(crate) fn once_damaged(&self) -> Vec<String> {
        self.damaged.lock().iter().cloned().collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }
}

/// Bytes of a segment that are not what was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Offsets that were in it: first, and the one after the last.
    pub(crate) first_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) detail: String,
}

impl Hole {
    pub(crate) fn holds(&self, offset: i64) -> bool {
        (self.first_offset..self.next_offset).contains(&offset)
    }
}

/// Text of the damage file: a line `segment from to first-offset next-offset detail` a hole, then a checksum line.
pub(crate) fn encode_holes(holes: &[(i64, Hole)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("0\n");
    for (segment, hole) in holes {
        let detail = hole.detail.replace('\n', " ");
        let _ = writeln!(
            text,
            "{segment} {} {} {} {} {detail}",
            hole.from, hole.to, hole.first_offset, hole.next_offset
        );
    }
    let crc = crc32c(text.as_bytes());
    let _ = writeln!(text, "crc {crc}");
    text
}

/// Holes of a damage file, by segment; `None` when the file itself is damaged.
pub(crate) fn decode_holes(text: &str) -> Option<Vec<(i64, Hole)>> {
    let (body, crc) = text.trim_end_matches('\n').rsplit_once('\n')?;
    let crc: u32 = crc.strip_prefix("crc ")?.parse().ok()?;
    if crc != crc32c_of_two(body.as_bytes(), b"\n") {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != "0" {
        return None;
    }
    lines
        .map(|line| {
            let mut fields = line.splitn(6, ' ');
            let mut number = || fields.next()?.parse::<i64>().ok();
            let (segment, from, to, first_offset, next_offset) =
                (number()?, number()?, number()?, number()?, number()?);
            let detail = fields.next().unwrap_or_default().to_owned();
            let hole = Hole {
                from: u64::try_from(from).ok()?,
                to: u64::try_from(to).ok()?,
                first_offset,
                next_offset,
                detail,
            };
            (hole.from < hole.to).then_some((segment, hole))
        })
        .collect()
}

/// Reads a partition's damage file; a missing one is empty, a damaged one `None`.
pub(crate) fn read_holes(files: &dyn FileSystem, directory: &Path) -> Option<Vec<(i64, Hole)>> {
    match read_small(files, &directory.join(DAMAGED_RANGES_FILE), FILE_BYTES_MAX) {
        Ok(bytes) => decode_holes(std::str::from_utf8(&bytes).ok()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Replaces a partition's damage file, or removes it when there is nothing to say.
pub(crate) fn write_holes(
    files: &dyn FileSystem,
    directory: &Path,
    holes: &[(i64, Hole)],
) -> io::Result<()> {
    let path = directory.join(DAMAGED_RANGES_FILE);
    if !holes.is_empty() {
        return write_atomically(files, &path, encode_holes(holes).as_bytes());
    }
    if files.exists(&path) { files.remove_file(&path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_survive_their_file_and_its_damage_is_seen() {
        let hole = Hole {
            from: 100,
            to: 300,
            first_offset: 7,
            next_offset: 9,
            detail: "the CRC does not match".to_owned(),
        };
        let text = encode_holes(&[(0, hole.clone())]);
        assert_eq!(decode_holes(&text), Some(vec![(0, hole)]));
        assert_eq!(decode_holes(&encode_holes(&[])), Some(Vec::new()));
        for at in 0..text.len() - 1 {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(decode_holes(&String::from_utf8_lossy(&damaged)), None, "flip at {at}");
        }
    }
}
