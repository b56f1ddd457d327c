//! Who a log directory belongs to: its lock, and `meta.properties`, which names cluster, node and directory.
//!
//! A directory of another cluster or node is refused whole, before anything in it is read or written. A copy of the file lets one whose
//! bits flipped be told from one that somebody edited.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use crate::checkpoint::{
    META_COPY_FILE, META_PROPERTIES_FILE, MetaProperties, decode_meta_copy, encode_meta_copy,
};
use crate::config::StoreOptions;
use crate::error::LogError;
use crate::integrity::{Finding, FindingKind, Integrity};
use crate::io::{DirectoryLock, FileSystem, read_small, write_atomically};
use crate::partition::file_finding;
use crate::types::TopicId;

const LOCK_FILE: &str = ".lock";
const META_BYTES_MAX: u64 = 64 << 10;
/// A file of which at most this many bits differ was damaged, not edited.
const FLIPPED_BITS_MAX: u32 = 16;

/// Creates and locks a directory.
pub(crate) fn prepare(
    files: &dyn FileSystem,
    path: &Path,
) -> Result<Box<dyn DirectoryLock>, LogError> {
    let not_writable = |error: &std::io::Error| {
        LogError::new(
            LogError::LOG_DIR_NOT_WRITABLE,
            format!("cannot use {}: {error}", path.display()),
        )
    };
    files.create_directory(path).map_err(|error| not_writable(&error))?;
    files.lock(&path.join(LOCK_FILE)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            LogError::new(
                LogError::LOG_DIR_LOCKED,
                format!("{} is in use: another process holds its {LOCK_FILE} file", path.display()),
            )
        } else {
            not_writable(&error)
        }
    })
}

/// Reads or writes `meta.properties` of the usable directories; returns the cluster id and a directory id for each.
pub(crate) fn identify(
    files: &dyn FileSystem,
    options: &StoreOptions,
    usable: &mut [Result<(), LogError>],
    integrity: &Integrity,
) -> Result<(String, Vec<String>), LogError> {
    let mut metas: Vec<Option<MetaProperties>> = vec![None; options.dirs.len()];
    for ((dir, result), slot) in options.dirs.iter().zip(usable.iter_mut()).zip(metas.iter_mut()) {
        if result.is_err() {
            continue;
        }
        let path = Path::new(dir).join(META_PROPERTIES_FILE);
        match read_small(files, &path, META_BYTES_MAX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = match restored_meta(files, Path::new(dir), &text, options.node_id) {
                    Some(copy) => {
                        integrity.report(Finding {
                            partition: String::new(),
                            ..file_finding(
                                &path,
                                FindingKind::MetaProperties,
                                "it differs by a few bits from the copy that was made of it",
                                "the copy was put in its place",
                            )
                        });
                        // Without the new file the copy is found again by the next start.
                        let _ = write_atomically(files, &path, copy.as_bytes());
                        copy
                    }
                    None => text.into_owned(),
                };
                let meta = MetaProperties::decode(&text).map_err(|why| {
                    LogError::new(
                        LogError::META_PROPERTIES_INVALID,
                        format!("{}: {why}", path.display()),
                    )
                })?;
                if meta.node_id != options.node_id {
                    return Err(LogError::new(
                        LogError::NODE_ID_MISMATCH,
                        format!(
                            "{} is of node {}, not {}",
                            path.display(),
                            meta.node_id,
                            options.node_id
                        ),
                    ));
                }
                *slot = Some(meta);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                *result = Err(LogError::new(
                    LogError::LOG_DIR_NOT_WRITABLE,
                    format!("{}: {error}", path.display()),
                ));
            }
        }
    }
    let known = metas.iter().flatten().map(|meta| meta.cluster_id.clone()).next();
    let cluster_id =
        options.cluster_id.clone().or(known).unwrap_or_else(|| random_id().to_string());
    for (dir, meta) in options.dirs.iter().zip(&metas) {
        if let Some(meta) = meta.as_ref().filter(|meta| meta.cluster_id != cluster_id) {
            return Err(LogError::new(
                LogError::CLUSTER_ID_MISMATCH,
                format!("{dir} is of cluster {}, not {cluster_id}", meta.cluster_id),
            ));
        }
    }
    let mut ids: Vec<String> = Vec::new();
    for ((dir, result), meta) in options.dirs.iter().zip(usable.iter_mut()).zip(metas) {
        if result.is_err() {
            ids.push(String::new());
            continue;
        }
        let known = meta.map(|meta| meta.directory_id).filter(|id| !id.is_empty());
        if let Some(id) = known {
            if ids.contains(&id) {
                return Err(LogError::new(
                    LogError::META_PROPERTIES_INVALID,
                    format!("{dir} has the directory id {id} of another log directory"),
                ));
            }
            ids.push(id);
            continue;
        }
        let meta = MetaProperties {
            cluster_id: cluster_id.clone(),
            node_id: options.node_id,
            directory_id: random_id().to_string(),
        };
        let path = Path::new(dir).join(META_PROPERTIES_FILE);
        if let Err(error) = write_atomically(files, &path, meta.encode().as_bytes()) {
            *result = Err(LogError::new(
                LogError::LOG_DIR_NOT_WRITABLE,
                format!("cannot write {}: {error}", path.display()),
            ));
        }
        ids.push(meta.directory_id);
    }
    for (dir, result) in options.dirs.iter().zip(usable.iter()) {
        if result.is_ok() {
            copy_meta(files, Path::new(dir));
        }
    }
    Ok((cluster_id, ids))
}

/// Keeps a second copy of `meta.properties`. Without one a damaged file stops the start, as it would in Kafka.
fn copy_meta(files: &dyn FileSystem, dir: &Path) {
    let read = |name: &str| {
        read_small(files, &dir.join(name), META_BYTES_MAX)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
    };
    let Some(text) = read(META_PROPERTIES_FILE) else { return };
    let copy = encode_meta_copy(&text);
    if read(META_COPY_FILE).as_deref() != Some(copy.as_str()) {
        let _ = write_atomically(files, &dir.join(META_COPY_FILE), copy.as_bytes());
    }
}

/// What `meta.properties` said before some of its bits flipped; `None` when it is good, or was changed by somebody.
fn restored_meta(files: &dyn FileSystem, dir: &Path, text: &str, node_id: i32) -> Option<String> {
    let copy = read_small(files, &dir.join(META_COPY_FILE), META_BYTES_MAX).ok()?;
    let copy = decode_meta_copy(std::str::from_utf8(&copy).ok()?)?.to_owned();
    let meant = MetaProperties::decode(&copy).ok()?;
    let read = MetaProperties::decode(text);
    let is_same = read.as_ref() == Ok(&meant);
    // Lossy decoding makes three bytes of one that is no text.
    let flipped: u32 = if text.contains('\u{fffd}') {
        1
    } else if copy.len() == text.len() {
        copy.bytes().zip(text.bytes()).map(|(a, b)| (a ^ b).count_ones()).sum()
    } else {
        u32::MAX
    };
    (!is_same && flipped <= FLIPPED_BITS_MAX && meant.node_id == node_id).then_some(copy)
}

/// 64 bits that the operating system's randomness seeded.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A random id that does not begin with a dash, as Kafka's do not.
fn random_id() -> TopicId {
    loop {
        let mut bytes = [0; 16];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&random_u64().to_be_bytes());
        low.copy_from_slice(&random_u64().to_be_bytes());
        // Version 4, variant 1: what every UUID reader expects of a random one.
        if let Some(byte) = bytes.get_mut(6) {
            *byte = (*byte & 0x0f) | 0x40;
        }
        if let Some(byte) = bytes.get_mut(8) {
            *byte = (*byte & 0x3f) | 0x80;
        }
        let id = TopicId(bytes);
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}
