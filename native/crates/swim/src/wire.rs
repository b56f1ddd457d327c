//! Bytes of foca's messages. Everything is big-endian and of fixed width; an address is its family (4 or 6), the address and the port.
//!
//! ```text
//! identity  node id 4 | incarnation id 16 | generation 8 | bump 4 | farewell 1 | family 1 | address 4 or 16 | port 2
//! member    identity | incarnation 2 | state 1
//! header    message 1 | source identity | source incarnation 2 | destination identity [| identity | probe number 1] or [| probe number 1]
//! packet    header [| count of members 2 | members]
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member, Message, State};

use crate::identity::{Farewell, NodeIdentity};

/// What does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireError(&'static str);

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for WireError {}

const CUT: WireError = WireError("the message ends too early");
const NO_ROOM: WireError = WireError("no room is left in the packet");
const IDENTITY_BYTES_MAX: usize = 52;

/// Reads a number, or fails where the buffer ends.
macro_rules! take {
    ($buffer:expr, $read:ident) => {
        $buffer.$read().map_err(|_| CUT)?
    };
}

fn put_identity(id: &NodeIdentity, mut out: impl BufMut) {
    out.put_i32(id.node_id);
    out.put_slice(&id.incarnation_id);
    out.put_u64(id.generation);
    out.put_u32(id.bump);
    out.put_u8(id.farewell as u8);
    match id.address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(id.address.port());
}

fn take_identity(mut buffer: impl Buf) -> Result<NodeIdentity, WireError> {
    let node_id = take!(buffer, try_get_i32);
    let mut incarnation_id = [0; 16];
    buffer.try_copy_to_slice(&mut incarnation_id).map_err(|_| CUT)?;
    let generation = take!(buffer, try_get_u64);
    let bump = take!(buffer, try_get_u32);
    let farewell = Farewell::from_byte(take!(buffer, try_get_u8))
        .ok_or(WireError("an unknown kind of good-bye"))?;
    let ip = match take!(buffer, try_get_u8) {
        4 => IpAddr::V4(Ipv4Addr::from_bits(take!(buffer, try_get_u32))),
        6 => IpAddr::V6(Ipv6Addr::from_bits(take!(buffer, try_get_u128))),
        _ => return Err(WireError("an unknown family of addresses")),
    };
    let port = take!(buffer, try_get_u16);
    if port == 0 {
        return Err(WireError("a port of zero"));
    }
    let address = SocketAddr::new(ip, port);
    Ok(NodeIdentity { node_id, incarnation_id, generation, bump, address, farewell })
}

/// What foca writes and reads its messages with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityCodec;

impl Codec<NodeIdentity> for IdentityCodec {
    type Error = WireError;

    fn encode_header(
        &mut self,
        header: &Header<NodeIdentity>,
        mut out: impl BufMut,
    ) -> Result<(), WireError> {
        if out.remaining_mut() < 4 + 3 * IDENTITY_BYTES_MAX {
            return Err(NO_ROOM);
        }
        out.put_u8(match header.message {
            Message::Ping(_) => 1,
            Message::Ack(_) => 2,
            Message::PingReq { .. } => 3,
            Message::IndirectPing { .. } => 4,
            Message::IndirectAck { .. } => 5,
            Message::ForwardedAck { .. } => 6,
            Message::Announce => 7,
            Message::Feed => 8,
            Message::Gossip => 9,
            Message::Broadcast => return Err(WireError("broadcasts are not used")),
            Message::TurnUndead => 10,
        });
        put_identity(&header.src, &mut out);
        out.put_u16(header.src_incarnation);
        put_identity(&header.dst, &mut out);
        match &header.message {
            Message::Ping(number) | Message::Ack(number) => out.put_u8(*number),
            Message::PingReq { target: id, probe_number }
            | Message::IndirectPing { origin: id, probe_number }
            | Message::IndirectAck { target: id, probe_number }
            | Message::ForwardedAck { origin: id, probe_number } => {
                put_identity(id, &mut out);
                out.put_u8(*probe_number);
            }
            _ => {}
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buffer: impl Buf) -> Result<Header<NodeIdentity>, WireError> {
        let tag = take!(buffer, try_get_u8);
        let src = take_identity(&mut buffer)?;
        let src_incarnation = take!(buffer, try_get_u16);
        let dst = take_identity(&mut buffer)?;
        let message = match tag {
            1 => Message::Ping(take!(buffer, try_get_u8)),
            2 => Message::Ack(take!(buffer, try_get_u8)),
            3..=6 => {
                let id = take_identity(&mut buffer)?;
                let probe_number = take!(buffer, try_get_u8);
                match tag {
                    3 => Message::PingReq { target: id, probe_number },
                    4 => Message::IndirectPing { origin: id, probe_number },
                    5 => Message::IndirectAck { target: id, probe_number },
                    _ => Message::ForwardedAck { origin: id, probe_number },
                }
            }
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            10 => Message::TurnUndead,
            _ => return Err(WireError("an unknown message")),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<NodeIdentity>,
        mut out: impl BufMut,
    ) -> Result<(), WireError> {
        if out.remaining_mut() < IDENTITY_BYTES_MAX + 3 {
            return Err(NO_ROOM);
        }
        put_identity(member.id(), &mut out);
        out.put_u16(member.incarnation());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buffer: impl Buf) -> Result<Member<NodeIdentity>, WireError> {
        let id = take_identity(&mut buffer)?;
        if id.node_id < 0 {
            return Err(WireError("a member without a node id"));
        }
        let incarnation = take!(buffer, try_get_u16);
        let state = match take!(buffer, try_get_u8) {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(WireError("an unknown state")),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

/// A packet, read whole.
pub(crate) struct Contents {
    pub(crate) header: Header<NodeIdentity>,
    pub(crate) members: Vec<Member<NodeIdentity>>,
}

impl Contents {
    /// Reads a packet and checks all of it, so that foca never sees one of which it would take a part.
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, WireError> {
        let header = IdentityCodec.decode_header(&mut bytes)?;
        if header.src.node_id < 0 {
            return Err(WireError("a sender without a node id"));
        }
        let mut members = Vec::new();
        if !bytes.is_empty() {
            if matches!(header.message, Message::Announce | Message::TurnUndead) {
                return Err(WireError("members in a message that carries none"));
            }
            for _ in 0..take!(bytes, try_get_u16) {
                members.push(IdentityCodec.decode_member(&mut bytes)?);
            }
        }
        if bytes.is_empty() {
            Ok(Self { header, members })
        } else {
            Err(WireError("bytes are left"))
        }
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>, WireError> {
        let mut bytes = Vec::new();
        IdentityCodec.encode_header(&self.header, &mut bytes)?;
        if !self.members.is_empty() {
            bytes.put_u16(self.members.len() as u16);
            for member in &self.members {
                IdentityCodec.encode_member(member, &mut bytes)?;
            }
        }
        Ok(bytes)
    }
}
