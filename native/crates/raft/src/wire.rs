//! A message between members, as bytes:
//!
//! ```text
//! version u8 (1) · crc32c u32 (big endian, of the rest) · eraftpb.Message
//! ```
//!
//! Before the protobuf decoder sees it, a walk over its fields has seen that there are no groups (the decoder recurses into those), no
//! unknown fields (it keeps them), not too many entries and members (each costs more memory than bytes), and lengths that fit.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, EntryType, Message, MessageType};
use sluice_log::batch::crc32c;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
/// Entries of one message; a sender stops far below, by bytes.
pub(crate) const ENTRIES_MAX: usize = 1 << 16;
/// Bytes of a snapshot's metadata: its members.
const METADATA_BYTES_MAX: usize = 64 << 10;
/// A term is Kafka's leader epoch: an int32.
const TERM_MAX: u64 = i32::MAX as u64;
/// Beyond this an index would not be an exact number in JavaScript.
const INDEX_MAX: u64 = 1 << 53;

/// Why a message was refused; numbers as in TypeScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// More bytes or entries than a message may have.
    TooLarge = 1,
    /// Version, checksum or structure.
    Malformed = 2,
    /// The sender is no member and was not admitted, or not the connection's.
    UnknownMember = 3,
    /// For another node.
    WrongRecipient = 4,
    /// Members do not send each other such messages.
    Forbidden = 5,
    /// Contradicts what is committed here.
    Contradiction = 6,
    /// The node has stopped for good.
    Poisoned = 7,
    /// Of a past term, or of a member that is gone.
    Stale = 8,
}

/// Number of kinds, and one more.
pub(crate) const REFUSAL_KINDS: usize = 9;

pub(crate) fn encode(message: &Message) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(message.compute_size() as usize + HEAD_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&[0; 4]);
    message.write_to_vec(&mut bytes).ok()?;
    let crc = crc32c(bytes.get(HEAD_BYTES..)?);
    bytes.get_mut(1..HEAD_BYTES)?.copy_from_slice(&crc.to_be_bytes());
    Some(bytes)
}

pub(crate) fn decode(bytes: &[u8], max_bytes: usize) -> Result<Message, Refusal> {
    if bytes.len() > max_bytes {
        return Err(Refusal::TooLarge);
    }
    let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(Refusal::Malformed)?;
    let (version, crc) = head.split_first().ok_or(Refusal::Malformed)?;
    if *version != VERSION || crc != crc32c(body).to_be_bytes() {
        return Err(Refusal::Malformed);
    }
    let mut counts = Counts::default();
    check(body, Kind::Message, &mut counts)?;
    let mut message = Message::default();
    message.merge_from_bytes(body).map_err(|_| Refusal::Malformed)?;
    check_fields(&message)?;
    Ok(message)
}

#[derive(Clone, Copy)]
enum Kind {
    Message,
    Entry,
    Snapshot,
    Metadata,
    Members,
    Change,
    ChangeStep,
}

/// What a field of a known number has to be.
enum Field {
    Number,
    Bytes,
    /// A number, or several packed.
    Numbers,
    Inside(Kind),
}

impl Kind {
    fn field(self, number: u64) -> Option<Field> {
        match (self, number) {
            (Self::Message, 7) => Some(Field::Inside(Kind::Entry)),
            (Self::Message, 9) => Some(Field::Inside(Kind::Snapshot)),
            (Self::Change, 2) => Some(Field::Inside(Kind::ChangeStep)),
            (Self::Message, 12)
            | (Self::Entry, 4 | 6)
            | (Self::Snapshot, 1)
            | (Self::Change, 3) => Some(Field::Bytes),
            (Self::Snapshot, 2) => Some(Field::Inside(Kind::Metadata)),
            (Self::Metadata, 1) => Some(Field::Inside(Kind::Members)),
            (Self::Members, 1..=4) => Some(Field::Numbers),
            (Self::Message, 1..=6 | 8 | 10 | 11 | 13..=16)
            | (Self::Entry, 1..=3 | 5)
            | (Self::Metadata, 2 | 3)
            | (Self::Members, 5)
            | (Self::Change, 1)
            | (Self::ChangeStep, 1 | 2) => Some(Field::Number),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Counts {
    entries: usize,
    snapshots: usize,
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Refusal> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at as u32).min(63);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(Refusal::Malformed)
}

fn check(bytes: &[u8], kind: Kind, counts: &mut Counts) -> Result<(), Refusal> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        let field = kind.field(tag >> 3).ok_or(Refusal::Malformed)?;
        let (number, after) = varint(after)?;
        rest = match (tag & 7, field) {
            (0, Field::Number | Field::Numbers) => after,
            (2, field @ (Field::Bytes | Field::Numbers | Field::Inside(_))) => {
                let length = usize::try_from(number).map_err(|_| Refusal::Malformed)?;
                let (inside, after) = after.split_at_checked(length).ok_or(Refusal::Malformed)?;
                if let Field::Inside(inner) = field {
                    match inner {
                        Kind::Entry => counts.entries += 1,
                        Kind::Snapshot => counts.snapshots += 1,
                        Kind::Metadata if length > METADATA_BYTES_MAX => {
                            return Err(Refusal::TooLarge);
                        }
                        _ => {}
                    }
                    if counts.entries > ENTRIES_MAX {
                        return Err(Refusal::TooLarge);
                    }
                    // A repeated singular field is merged by the decoder: one image is enough.
                    if counts.snapshots > 1 {
                        return Err(Refusal::Malformed);
                    }
                    check(inside, inner, counts)?;
                }
                after
            }
            _ => return Err(Refusal::Malformed),
        };
    }
    Ok(())
}

/// What holds for every message, whatever the node's state.
fn check_fields(message: &Message) -> Result<(), Refusal> {
    let has_bad_term =
        |term: u64, index: u64| term > TERM_MAX || index > INDEX_MAX || (term == 0 && index > 0);
    if message.term == 0 || message.term > TERM_MAX || message.log_term > TERM_MAX {
        return Err(Refusal::Malformed);
    }
    if message.index > INDEX_MAX || message.commit > INDEX_MAX || message.from == 0 {
        return Err(Refusal::Malformed);
    }
    let is_append = message.get_msg_type() == MessageType::MsgAppend;
    let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    if (!is_append && !message.entries.is_empty()) || is_snapshot != message.has_snapshot() {
        return Err(Refusal::Malformed);
    }
    let (mut index, mut term) = (message.index, message.log_term);
    for entry in &message.entries {
        index += 1;
        if entry.index != index || entry.term < term || entry.term > message.term {
            return Err(Refusal::Malformed);
        }
        term = entry.term;
        match entry.get_entry_type() {
            EntryType::EntryNormal => {}
            EntryType::EntryConfChange => return Err(Refusal::Forbidden),
            EntryType::EntryConfChangeV2 if entry.data.len() > METADATA_BYTES_MAX => {
                return Err(Refusal::TooLarge);
            }
            EntryType::EntryConfChangeV2 => {
                check(&entry.data, Kind::Change, &mut Counts::default())?;
                ConfChangeV2::parse_from_bytes(&entry.data).map_err(|_| Refusal::Malformed)?;
            }
        }
    }
    if is_snapshot {
        let metadata = message.get_snapshot().get_metadata();
        let is_empty = metadata.index == 0 || metadata.get_conf_state().voters.is_empty();
        if is_empty || has_bad_term(metadata.term, metadata.index) || metadata.term > message.term {
            return Err(Refusal::Malformed);
        }
    }
    match message.get_msg_type() {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow => Ok(()),
        _ => Err(Refusal::Forbidden),
    }
}
