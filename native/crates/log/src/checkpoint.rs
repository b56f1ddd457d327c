//! The small text files of a log directory, in Kafka's formats: offset checkpoints, `meta.properties`, `partition.metadata`, the
//! clean-shutdown marker. Each is replaced atomically; each reader tells a damaged file from a missing one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::io::{FileSystem, read_small, write_atomically};
use crate::types::TopicId;

/// All records below these offsets are on disk.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// First offsets of the logs, where they are not the first segment's.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const REPLICATION_FILE: &str = "replication-offset-checkpoint";
/// Written last by a clean stop, removed first by a start.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// Identity of a directory.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Identity of a partition.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";
/// Leader epochs of a partition.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";
/// Of a partition: its log was cut to this offset after the recovery points were written. Ours alone; an offset checkpoint with one entry.
pub const CUT_MARK_FILE: &str = "cut-offset-checkpoint";

const MAX_BYTES: u64 = 64 << 20;

/// Topic and partition to offset.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// Text of an offset checkpoint: version, count, then `topic partition offset` lines.
pub fn encode_offsets(offsets: &Offsets) -> String {
    use std::fmt::Write as _;
    let mut text = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

/// Reads the text of an offset checkpoint; `None` when it is not one. An empty file is an empty checkpoint, as in Kafka.
pub fn decode_offsets(text: &str) -> Option<Offsets> {
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Some(Offsets::new()) };
    if version != "0" {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let mut offsets = Offsets::new();
    let mut seen = 0;
    for line in lines {
        let mut fields = line.split(' ');
        let (topic, partition, offset) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() {
            return None;
        }
        offsets.insert((topic.to_owned(), partition.parse().ok()?), offset.parse().ok()?);
        seen += 1;
    }
    (seen == count).then_some(offsets)
}

/// Entry that holds the checksum of all others: the format has none, and an offset with another digit would be believed. Kafka passes over
/// entries of partitions that it does not have.
const CHECKSUM_TOPIC: &str = "__sluice_checksum";

fn checksum_of(offsets: &Offsets) -> i64 {
    i64::from(crate::batch::crc32c(encode_offsets(offsets).as_bytes()))
}

/// Text of an offset checkpoint with its checksum entry.
pub fn encode_checked_offsets(offsets: &Offsets) -> String {
    let mut all = offsets.clone();
    all.insert((CHECKSUM_TOPIC.to_owned(), 0), checksum_of(offsets));
    encode_offsets(&all)
}

/// Reads an offset checkpoint's text; `None` when it is not one or its checksum, if it has one, does not match.
pub fn decode_checked_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = decode_offsets(text)?;
    match offsets.remove(&(CHECKSUM_TOPIC.to_owned(), 0)) {
        Some(checksum) if checksum != checksum_of(&offsets) => None,
        _ => Some(offsets),
    }
}

/// Whether an offset checkpoint is there and was written by us, not by Kafka.
pub(crate) fn is_own(files: &dyn FileSystem, path: &Path) -> bool {
    read_small(files, path, MAX_BYTES).is_ok_and(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        text.contains(CHECKSUM_TOPIC) && decode_checked_offsets(&text).is_some()
    })
}

/// Reads an offset checkpoint; missing and damaged ones count as empty, since every offset can be found otherwise. Damage is told.
pub(crate) fn read_offsets(
    files: &dyn FileSystem,
    path: &Path,
    on_damage: impl FnOnce(&str),
) -> Offsets {
    let decoded = match read_small(files, path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes)
            .ok()
            .and_then(|text| decode_checked_offsets(&text))
            .ok_or_else(|| "it is no checkpoint, or its checksum does not match".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Offsets::new(),
        Err(error) => Err(error.to_string()),
    };
    decoded.unwrap_or_else(|why| {
        on_damage(&why);
        Offsets::new()
    })
}

pub(crate) fn write_offsets(
    files: &dyn FileSystem,
    path: &Path,
    offsets: &Offsets,
) -> io::Result<()> {
    write_atomically(files, path, encode_checked_offsets(offsets).as_bytes())
}

/// Reads the mark of a partition's directory; `None` where there is none. A damaged one is told, and says that nothing is known to be on disk.
pub(crate) fn read_cut_mark(
    files: &dyn FileSystem,
    directory: &Path,
    partition: &(String, i32),
    on_damage: impl FnOnce(&Path, &str),
) -> Option<i64> {
    let file = directory.join(CUT_MARK_FILE);
    if !files.exists(&file) {
        return None;
    }
    let offsets = read_offsets(files, &file, |why| on_damage(&file, why));
    Some(offsets.get(partition).copied().unwrap_or(0))
}

/// A second copy of `meta.properties`, with a checksum line.
pub const META_COPY_FILE: &str = ".meta.properties.copy";

/// Text of the copy.
pub fn encode_meta_copy(text: &str) -> String {
    format!("{text}#crc {}\n", crate::batch::crc32c(text.as_bytes()))
}

/// The text that was copied; `None` when the copy is damaged.
pub fn decode_meta_copy(copy: &str) -> Option<&str> {
    let (text, crc) = copy.rsplit_once("#crc ")?;
    (crc.trim_end().parse() == Ok(crate::batch::crc32c(text.as_bytes()))).then_some(text)
}

/// Identity of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: String,
}

impl MetaProperties {
    /// The file's text, version 1.
    pub fn encode(&self) -> String {
        format!(
            "#\n#\ncluster.id={}\nversion=1\ndirectory.id={}\nnode.id={}\n",
            self.cluster_id, self.directory_id, self.node_id
        )
    }

    /// Reads the text. Version 0 has `broker.id` and may lack a cluster id; a missing directory id is empty.
    ///
    /// # Errors
    /// One sentence about what is wrong.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        for line in
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let Some((key, value)) = line.split_once('=') else {
                return Err(format!("no '=' in line {line:?}"));
            };
            fields.insert(
                key.trim().to_owned(),
                value.trim().replace("\\:", ":").replace("\\=", "="),
            );
        }
        let node_key = match fields.get("version").map(String::as_str) {
            Some("0") => "broker.id",
            Some("1") => "node.id",
            Some(other) => return Err(format!("version {other} is not known")),
            None => return Err("version is missing".to_owned()),
        };
        let node_id = fields
            .get(node_key)
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("{node_key} is missing or not a number"))?;
        let cluster_id = fields.get("cluster.id").cloned().ok_or("cluster.id is missing")?;
        let directory_id = fields.get("directory.id").cloned().unwrap_or_default();
        Ok(Self { cluster_id, node_id, directory_id })
    }
}

/// Text of `partition.metadata`.
pub fn encode_partition_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Topic id in the text of `partition.metadata`.
pub fn decode_partition_metadata(text: &str) -> Option<TopicId> {
    let mut lines = text.lines();
    if lines.next()?.split_once(':')?.1.trim() != "0" {
        return None;
    }
    let (key, value) = lines.next()?.split_once(':')?;
    (key.trim() == "topic_id").then(|| TopicId::parse(value.trim())).flatten()
}

/// Broker epoch of a life that had none: it never registered, or its marker does not tell.
pub const NO_BROKER_EPOCH: i64 = -1;

/// Text of the clean-shutdown marker (KIP-966): which life of the broker closed the directory in order.
pub fn encode_clean_shutdown(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

/// A marker has some 40 bytes; what is larger is none.
const MARKER_BYTES_MAX: u64 = 4096;

/// The broker epoch in a clean-shutdown marker; [`NO_BROKER_EPOCH`] when it cannot be read.
pub fn read_clean_shutdown(files: &dyn FileSystem, path: &Path) -> i64 {
    read_small(files, path, MARKER_BYTES_MAX)
        .map_or(NO_BROKER_EPOCH, |bytes| decode_clean_shutdown(&String::from_utf8_lossy(&bytes)))
}

fn decode_clean_shutdown(text: &str) -> i64 {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        broker_epoch: i64,
    }
    serde_json::from_str::<Marker>(text).map_or(NO_BROKER_EPOCH, |marker| marker.broker_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_tells_which_life_closed_in_order() {
        assert_eq!(encode_clean_shutdown(17), "{\"version\":0,\"brokerEpoch\":17}");
        assert_eq!(decode_clean_shutdown(&encode_clean_shutdown(17)), 17);
        assert_eq!(decode_clean_shutdown("{\"brokerEpoch\":3,\"later\":true,\"version\":1}"), 3);
        for text in ["", "{}", "{\"version\":0}", "{\"brokerEpoch\":\"x\"}", "\0\0"] {
            assert_eq!(decode_clean_shutdown(text), NO_BROKER_EPOCH);
        }
    }

    #[test]
    fn offset_checkpoint_survives_its_file() {
        let mut offsets = Offsets::new();
        offsets.insert(("a".to_owned(), 0), 5);
        offsets.insert(("b.c-d".to_owned(), 12), i64::MAX);
        assert_eq!(encode_offsets(&offsets), "0\n2\na 0 5\nb.c-d 12 9223372036854775807\n");
        assert_eq!(decode_offsets(&encode_offsets(&offsets)), Some(offsets));
        assert_eq!(decode_offsets(""), Some(Offsets::new()));
        for text in ["1\n0\n", "0\n1\n", "0\n1\na 0\n", "0\n1\na 0 1 2\n", "0\n0\na 0 1\n", "x"] {
            assert_eq!(decode_offsets(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_checkpoint_is_seen_or_means_nothing() {
        let mut offsets = Offsets::new();
        offsets.insert(("a".to_owned(), 0), 512);
        offsets.insert(("t".to_owned(), 3), 77);
        let text = encode_checked_offsets(&offsets);
        assert_eq!(decode_checked_offsets(&text), Some(offsets.clone()));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                let Some(mut read) = decode_checked_offsets(&flipped) else { continue };
                // A checksum entry of another name protects nothing, and the rest is as it was.
                read.retain(|key, _| offsets.contains_key(key));
                assert_eq!(read, offsets, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn meta_properties_are_kafkas() {
        let text = "#\n#Sun Nov 22 22:14:47 UTC 2026\nnode.id=1\ndirectory.id=ovadUREbn962B6c2iGm_oA\nversion=1\n\
                    cluster.id=GXOWsX1XQOKEDfUX_vc5rw\n";
        let meta = MetaProperties {
            cluster_id: "GXOWsX1XQOKEDfUX_vc5rw".to_owned(),
            node_id: 1,
            directory_id: "ovadUREbn962B6c2iGm_oA".to_owned(),
        };
        assert_eq!(MetaProperties::decode(text), Ok(meta.clone()));
        assert_eq!(MetaProperties::decode(&meta.encode()), Ok(meta));
        assert!(MetaProperties::decode("version=2\n").is_err());
        assert!(MetaProperties::decode("junk").is_err());
    }

    #[test]
    fn partition_metadata_is_kafkas() {
        let text = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";
        let id = decode_partition_metadata(text);
        assert_eq!(id.map(|id| id.0[15]), Some(1));
        assert_eq!(id.map(encode_partition_metadata).as_deref(), Some(text));
        assert_eq!(decode_partition_metadata("version: 0\ntopic_id: short"), None);
    }
}
