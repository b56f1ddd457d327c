//! What surrounds each packet, and which packets are taken at all.
//!
//! ```text
//!  0  "SLSW"
//!  4  version, 1
//!  5  hash of the cluster id, 16
//! 21  sender's node id, 4
//! 25  sender's incarnation id, 16
//! 41  sequence number, 8         per sender; begins at the wall clock in microseconds, so that a sender that begins anew does not repeat itself
//! 49  wall clock, ms, 8
//! 57  a message of foca
//! -16 HMAC-SHA-256 of all that, cut to 16 bytes
//! ```
//!
//! A packet is refused unless everything agrees, and of a refused packet nothing is used. A replayed one is known by its sequence number, and
//! where the window of its sender is not there any more by its age; windows are kept longer than packets may be old.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::replay::ReplayWindow;

/// Largest packet sent or taken: what fits an Ethernet frame with room for tunnels.
pub const PACKET_BYTES_MAX: usize = 1400;
const MAGIC: [u8; 4] = *b"SLSW";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 57;
const TAG_BYTES: usize = 16;
/// Room for a message of foca.
pub const PAYLOAD_BYTES_MAX: usize = PACKET_BYTES_MAX - HEAD_BYTES - TAG_BYTES;
/// How far the clocks of sender and receiver may be apart, milliseconds.
pub const AGE_MS_MAX: u64 = 5 * 60 * 1000;
/// Senders remembered. Only holders of the secret become one.
const SENDERS_MAX: usize = 1024;

/// Why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    TooLarge,
    Malformed,
    WrongVersion,
    WrongCluster,
    Forged,
    Replayed,
    TooOld,
    /// The envelope is right and the message in it is not.
    Garbage,
    /// Another process speaks with our node id.
    DuplicateNode,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::TooLarge,
        Self::Malformed,
        Self::WrongVersion,
        Self::WrongCluster,
        Self::Forged,
        Self::Replayed,
        Self::TooOld,
        Self::Garbage,
        Self::DuplicateNode,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "tooLarge",
            Self::Malformed => "malformed",
            Self::WrongVersion => "wrongVersion",
            Self::WrongCluster => "wrongCluster",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::TooOld => "tooOld",
            Self::Garbage => "garbage",
            Self::DuplicateNode => "duplicateNode",
        }
    }
}

/// What a packet that was taken holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'packet> {
    pub node_id: i32,
    pub incarnation_id: [u8; 16],
    pub payload: &'packet [u8],
}

struct Sender {
    window: ReplayWindow,
    last_wall_ms: u64,
}

/// Seals what goes out and opens what comes in.
pub struct Envelope {
    cluster_hash: [u8; 16],
    mac: Hmac<Sha256>,
    node_id: i32,
    incarnation_id: [u8; 16],
    sequence: u64,
    senders: BTreeMap<(i32, [u8; 16]), Sender>,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Envelope {
    /// `secret` may have any length; the key is derived from it for this use alone.
    pub fn new(
        cluster_id: &str,
        secret: &[u8],
        node_id: i32,
        incarnation_id: [u8; 16],
        wall_ms: u64,
    ) -> Self {
        let digest =
            Sha256::new().chain_update(b"sluice swim cluster 1\0").chain_update(cluster_id);
        let mut cluster_hash = [0; 16];
        for (place, byte) in cluster_hash.iter_mut().zip(digest.finalize()) {
            *place = byte;
        }
        let key =
            Sha256::new().chain_update(b"sluice swim key 1\0").chain_update(secret).finalize();
        Self {
            cluster_hash,
            mac: Hmac::new(&{
                let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
                for (place, byte) in block.iter_mut().zip(key) {
                    *place = byte;
                }
                block
            }),
            node_id,
            incarnation_id,
            sequence: wall_ms.saturating_mul(1000),
            senders: BTreeMap::new(),
        }
    }

    /// Wraps a message of at most [`PAYLOAD_BYTES_MAX`] bytes.
    pub fn seal(&mut self, wall_ms: u64, payload: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let mut packet = Vec::with_capacity(HEAD_BYTES + payload.len() + TAG_BYTES);
        packet.extend_from_slice(&MAGIC);
        packet.push(VERSION);
        packet.extend_from_slice(&self.cluster_hash);
        packet.extend_from_slice(&self.node_id.to_be_bytes());
        packet.extend_from_slice(&self.incarnation_id);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&wall_ms.to_be_bytes());
        packet.extend_from_slice(payload);
        let tag = self.mac.clone().chain_update(&packet).finalize().into_bytes();
        packet.extend(tag.into_iter().take(TAG_BYTES));
        packet
    }

    /// Checks a packet and unwraps its message.
    pub fn open<'packet>(
        &mut self,
        wall_ms: u64,
        packet: &'packet [u8],
    ) -> Result<Opened<'packet>, Refusal> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let split = packet.len().checked_sub(TAG_BYTES).ok_or(Refusal::Malformed)?;
        let (signed, tag) = packet.split_at(split);
        let payload = signed.get(HEAD_BYTES..).ok_or(Refusal::Malformed)?;
        if array(signed, 0) != Some(MAGIC) {
            return Err(Refusal::Malformed);
        }
        if array(signed, 4) != Some([VERSION]) {
            return Err(Refusal::WrongVersion);
        }
        if array(signed, 5) != Some(self.cluster_hash) {
            return Err(Refusal::WrongCluster);
        }
        if self.mac.clone().chain_update(signed).verify_truncated_left(tag).is_err() {
            return Err(Refusal::Forged);
        }
        let node_id = array(signed, 21).map(i32::from_be_bytes).ok_or(Refusal::Malformed)?;
        let incarnation_id = array(signed, 25).ok_or(Refusal::Malformed)?;
        let sequence = array(signed, 41).map(u64::from_be_bytes).ok_or(Refusal::Malformed)?;
        let sent_ms = array(signed, 49).map(u64::from_be_bytes).ok_or(Refusal::Malformed)?;
        if sent_ms.abs_diff(wall_ms) > AGE_MS_MAX {
            return Err(Refusal::TooOld);
        }
        let sender = (node_id, incarnation_id);
        if !self.senders.contains_key(&sender) {
            self.make_room(wall_ms);
        }
        let known = self
            .senders
            .entry(sender)
            .or_insert_with(|| Sender { window: ReplayWindow::default(), last_wall_ms: 0 });
        known.last_wall_ms = known.last_wall_ms.max(wall_ms).max(sent_ms);
        if !known.window.take(sequence) {
            return Err(Refusal::Replayed);
        }
        Ok(Opened { node_id, incarnation_id, payload })
    }

    /// Forgets senders whose packets would all be too old by now; and the one silent for the longest when there are too many nevertheless.
    fn make_room(&mut self, wall_ms: u64) {
        if self.senders.len() < SENDERS_MAX {
            return;
        }
        self.senders.retain(|_, sender| sender.last_wall_ms + AGE_MS_MAX >= wall_ms);
        if self.senders.len() >= SENDERS_MAX {
            let oldest = self.senders.iter().min_by_key(|(_, sender)| sender.last_wall_ms);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                self.senders.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn envelope(cluster: &str, secret: &str, node_id: i32) -> Envelope {
        Envelope::new(cluster, secret.as_bytes(), node_id, [node_id as u8; 16], NOW)
    }

    #[test]
    fn opens_what_it_sealed() {
        let packet = envelope("c", "s", 7).seal(NOW, b"hello");
        let mut receiver = envelope("c", "s", 1);
        let opened = receiver.open(NOW, &packet).unwrap();
        assert_eq!(opened, Opened { node_id: 7, incarnation_id: [7; 16], payload: b"hello" });
    }

    #[test]
    fn refuses_another_cluster_version_secret_and_size() {
        let packet = envelope("c", "s", 7).seal(NOW, b"hello");
        let mut receiver = envelope("c", "s", 1);
        assert_eq!(envelope("d", "s", 1).open(NOW, &packet), Err(Refusal::WrongCluster));
        assert_eq!(envelope("c", "t", 1).open(NOW, &packet), Err(Refusal::Forged));
        let mut other = packet.clone();
        other[4] = 2;
        assert_eq!(receiver.open(NOW, &other), Err(Refusal::WrongVersion));
        assert_eq!(receiver.open(NOW, &[0; PACKET_BYTES_MAX]), Err(Refusal::Malformed));
        assert_eq!(receiver.open(NOW, &[0; PACKET_BYTES_MAX + 1]), Err(Refusal::TooLarge));
        let largest = envelope("c", "s", 7).seal(NOW, &[1; PAYLOAD_BYTES_MAX]);
        assert_eq!(largest.len(), PACKET_BYTES_MAX);
        assert!(receiver.open(NOW, &largest).is_ok());
    }

    #[test]
    fn refuses_a_packet_cut_or_changed_anywhere() {
        let packet = envelope("c", "s", 7).seal(NOW, b"hello");
        let mut receiver = envelope("c", "s", 1);
        for length in 0..packet.len() {
            assert!(receiver.open(NOW, &packet[..length]).is_err(), "cut to {length}");
        }
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.open(NOW, &changed).is_err(), "bit {bit}");
        }
        assert!(receiver.open(NOW, &packet).is_ok(), "none of them used up its number");
    }

    #[test]
    fn refuses_what_it_has_seen_and_what_is_old() {
        let mut sender = envelope("c", "s", 7);
        let mut receiver = envelope("c", "s", 1);
        let first = sender.seal(NOW, b"1");
        let second = sender.seal(NOW, b"2");
        assert!(receiver.open(NOW, &second).is_ok());
        assert!(receiver.open(NOW, &first).is_ok(), "late, but new");
        assert_eq!(receiver.open(NOW, &first), Err(Refusal::Replayed));
        assert_eq!(receiver.open(NOW, &second), Err(Refusal::Replayed));
        // A receiver that has just started has no window: the age decides.
        let mut newcomer = envelope("c", "s", 2);
        assert_eq!(newcomer.open(NOW + AGE_MS_MAX + 1, &first), Err(Refusal::TooOld));
        assert_eq!(newcomer.open(NOW - AGE_MS_MAX - 1, &first), Err(Refusal::TooOld));
    }

    #[test]
    fn a_sender_that_begins_anew_is_heard_at_once() {
        let mut receiver = envelope("c", "s", 1);
        let mut sender = envelope("c", "s", 7);
        for _ in 0..100 {
            assert!(receiver.open(NOW, &sender.seal(NOW, b"x")).is_ok());
        }
        let mut again = Envelope::new("c", b"s", 7, [7; 16], NOW + 1000);
        assert!(receiver.open(NOW + 1000, &again.seal(NOW + 1000, b"x")).is_ok());
    }

    #[test]
    fn remembers_a_bounded_number_of_senders() {
        let mut receiver = envelope("c", "s", 1);
        for id in 0..SENDERS_MAX as i32 + 50 {
            let packet = envelope("c", "s", id).seal(NOW, b"x");
            assert!(receiver.open(NOW, &packet).is_ok());
        }
        assert_eq!(receiver.senders.len(), SENDERS_MAX);
    }
}
