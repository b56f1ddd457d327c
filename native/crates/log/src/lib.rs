//! The native log: Kafka's on-disk format, byte for byte, written, read, recovered and retained.
//!
//! Two types carry it. [`LogManager`] owns log directories: their lock, identity, checkpoints, clean-shutdown marker, recovery,
//! descriptor cache, group-commit fsync threads and retention. [`PartitionLog`] owns one partition: segments, sparse indexes,
//! leader-epoch cache, producer state and the offsets that readers are bounded by. Record bytes are checked and patched in the
//! caller's buffer, written with one `pwrite`, and leave again as [`FileSlice`]s that nobody copied.
//!
//! Errors are values: what a client is told is a [`KafkaCode`] inside [`AppendError`] or a [`ReadPlan`]; what an operator is told
//! is a [`LogError`] with a stable code. Nothing here panics on bytes from a socket or a disk.
#![forbid(unsafe_code)]

pub mod batch;
mod cache;
mod check;
pub mod checkpoint;
pub mod compress;
pub mod config;
pub mod contention;
mod directory;
mod distrust;
pub mod epochs;
pub mod error;
pub mod failpoint;
mod identity;
mod index;
pub mod integrity;
pub mod io;
pub mod manager;
pub mod partition;
pub mod producer;
pub mod records;
pub mod repair;
mod scan;
mod scrub;
mod segment;
mod space;
pub mod statistics;
pub mod transactions;
pub mod types;
mod validate;
pub mod verify;

pub use config::{LogConfig, StoreOptions};
pub use error::{AppendError, KafkaCode, LogError, RecordError};
pub use integrity::{Finding, FindingKind};
pub use manager::{LogManager, MoveEvent, RecoveryProgress};
pub use partition::{GroupedAppend, PartitionLog, SeveralAppend};
pub use scrub::ScrubStatus;
pub use segment::ReadScratch;
pub use types::{
    AbortedTransaction, AppendLimits, AppendOutcome, AppendRequest, Asker, Change,
    DirectoryDescription, DirectoryHealth, DirectoryReport, EpochEndOffset, FileSlice,
    FollowerOutcome, FollowerState, Isolation, LogListener, OffsetLookup, OpenReport, Origin,
    PartitionDescription, PartitionReport, PartitionState, ProducerDescription, ReadPlan,
    ReadRequest, ReplicaBroker, ReplicaFetch, ReplicaRole, Replication, ReplicationState,
    RetentionEvent, TopicId,
};
