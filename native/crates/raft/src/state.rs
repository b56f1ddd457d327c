//! The two small files beside the log: `raft-state` (term, vote, commit) and `raft-snapshot` (the newest state image). Both are replaced
//! as a whole, end with a CRC-32C of all before it, and are refused when one bit of them differs.
//!
//! ```text
//! raft-state (text)             raft-snapshot (big endian)
//!   version=1                     magic      8  "SLUICERS"
//!   node.id=1                     version    u32 1
//!   term=5                        index      u64
//!   vote=2        (-1: none)      term       u64
//!   commit=120                    members    u32 length, ConfState as protobuf
//!   floor=123                     image      u64 length, bytes
//!   crc32c=8a9136aa               crc32c     u32
//! ```
//!
//! `floor` is an index up to which the log was complete when the file was written: a log that ends before it has lost entries.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfState, HardState};
use sluice_log::batch::crc32c;

use crate::cache::Image;

const MAGIC: &[u8; 8] = b"SLUICERS";
const VERSION: u32 = 1;

/// Content of `raft-state`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StateFile {
    pub(crate) node_id: i64,
    pub(crate) state: HardState,
    pub(crate) floor: u64,
}

impl StateFile {
    pub(crate) fn encode(&self) -> String {
        let vote = self.state.vote as i64 - 1;
        let mut text = format!(
            "version=1\nnode.id={}\nterm={}\nvote={vote}\ncommit={}\nfloor={}\n",
            self.node_id, self.state.term, self.state.commit, self.floor
        );
        let crc = crc32c(text.as_bytes());
        let _ = writeln!(text, "crc32c={crc:08x}");
        text
    }

    /// `None` when it is not exactly what `encode` writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let mut next = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        if next("version")? != "1" {
            return None;
        }
        let node_id = next("node.id")?.parse().ok()?;
        let state = HardState {
            term: next("term")?.parse().ok()?,
            vote: u64::try_from(next("vote")?.parse::<i64>().ok()?.checked_add(1)?).ok()?,
            commit: next("commit")?.parse().ok()?,
            ..HardState::default()
        };
        let floor = next("floor")?.parse().ok()?;
        let file = Self { node_id, state, floor };
        (file.encode() == text).then_some(file)
    }
}

pub(crate) fn encode_image(image: &Image) -> Vec<u8> {
    let members = image.members.write_to_bytes().unwrap_or_default();
    let mut bytes = Vec::with_capacity(image.data.len() + members.len() + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&image.index.to_be_bytes());
    bytes.extend_from_slice(&image.term.to_be_bytes());
    bytes.extend_from_slice(&(members.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&members);
    bytes.extend_from_slice(&(image.data.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&image.data);
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// `None` when it is damaged.
pub(crate) fn decode_image(bytes: &[u8]) -> Option<Arc<Image>> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c(body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (index, rest) = rest.split_first_chunk::<8>()?;
    let (term, rest) = rest.split_first_chunk::<8>()?;
    let (members_length, rest) = rest.split_first_chunk::<4>()?;
    let (members, rest) = rest.split_at_checked(u32::from_be_bytes(*members_length) as usize)?;
    let (data_length, data) = rest.split_first_chunk::<8>()?;
    if u32::from_be_bytes(*version) != VERSION
        || data.len() as u64 != u64::from_be_bytes(*data_length)
    {
        return None;
    }
    let mut conf_state = ConfState::default();
    conf_state.merge_from_bytes(members).ok()?;
    Some(Arc::new(Image {
        index: u64::from_be_bytes(*index),
        term: u64::from_be_bytes(*term),
        members: conf_state,
        data: Bytes::copy_from_slice(data),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_state_survives_its_file_and_no_other_bit_pattern_passes() {
        let state = HardState { term: 5, vote: 3, commit: 120, ..HardState::default() };
        let file = StateFile { node_id: 7, state, floor: 123 };
        let text = file.encode();
        assert_eq!(StateFile::decode(text.as_bytes()), Some(file));
        assert!(text.contains("vote=2\n"));
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StateFile::decode(&damaged), None, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert_eq!(StateFile::decode(&text.as_bytes()[..cut]), None, "cut {cut}");
        }
    }

    #[test]
    fn an_image_survives_its_file_and_no_other_bit_pattern_passes() {
        let members =
            ConfState { voters: vec![1, 2, 3], learners: vec![9], ..ConfState::default() };
        let image = Image { index: 77, term: 4, members, data: Bytes::from_static(b"state") };
        let bytes = encode_image(&image);
        assert_eq!(*decode_image(&bytes).unwrap(), image);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_image(&damaged), None, "bit {bit}");
        }
    }
}
