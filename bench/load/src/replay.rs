//! Replay: ready-made requests, each with the one answer that is right, round and round.
//!
//! For APIs whose answer to the same request stays the same (OffsetCommit, Heartbeat, ConsumerGroupHeartbeat): whoever
//! prepares the run asks each question once, judges the answer, and writes both to a file; here answers only have to be
//! equal to the last byte. So one generator measures any such API, and the knowledge of it stays with whoever prepared it.
//!
//! ```text
//! file        connections u32, then for each: exchanges u32, then for each of them an exchange
//! exchange    records u32 | request: length u32, bytes (a whole frame) | answer: length u32, bytes (after the correlation id)
//! ```
//! All numbers are big-endian.

use std::path::Path;

use crate::connection::{Response, Wanted};
use crate::engine::{Done, Work};
use crate::wire::Reader;

/// One question and its answer.
struct Exchange {
    /// What the request counts for besides itself: offsets of a commit.
    records: u64,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// The exchanges of one connection, and how far it is.
struct Script {
    exchanges: Vec<Exchange>,
    sent: usize,
    answered: usize,
}

impl Script {
    fn at(&self, count: usize) -> &Exchange {
        &self.exchanges[count % self.exchanges.len()]
    }
}

/// Bytes of a correlation id.
const CORRELATION_ID_BYTES: usize = 4;
/// Shortest frame: length, API key, version, correlation id.
const FRAME_BYTES_MIN: usize = 12;

pub struct Replay {
    scripts: Vec<Script>,
}

impl Replay {
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).map_err(|message| format!("{}: {message}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(bytes);
        let mut scripts = Vec::new();
        for _ in 0..reader.u32()? {
            let mut exchanges = Vec::new();
            for _ in 0..reader.u32()? {
                let records = u64::from(reader.u32()?);
                let mut block = || -> Result<Vec<u8>, String> {
                    let length = reader.u32()? as usize;
                    Ok(reader.take(length)?.to_vec())
                };
                let (request, answer) = (block()?, block()?);
                if request.len() < FRAME_BYTES_MIN {
                    return Err("a request is shorter than its header".to_owned());
                }
                exchanges.push(Exchange { records, request, answer });
            }
            if exchanges.is_empty() {
                return Err("a connection has nothing to send".to_owned());
            }
            scripts.push(Script { exchanges, sent: 0, answered: 0 });
        }
        if scripts.is_empty() { Err("no connections".to_owned()) } else { Ok(Self { scripts }) }
    }

    pub fn connections(&self) -> usize {
        self.scripts.len()
    }
}

impl Work for Replay {
    fn request(&mut self, connection: usize) -> Vec<u8> {
        self.scripts[connection].at(0).request.clone()
    }

    fn prepare(&mut self, connection: usize, request: &mut Vec<u8>) {
        let script = &mut self.scripts[connection];
        if script.exchanges.len() > 1 {
            request.clone_from(&script.at(script.sent).request);
        }
        script.sent += 1;
    }

    fn wanted(&self, _connection: usize) -> Wanted {
        Wanted::Whole
    }

    fn check(
        &mut self,
        connection: usize,
        response: &Response<'_>,
        request_bytes: usize,
    ) -> Result<Done, String> {
        let script = &mut self.scripts[connection];
        let count = script.answered;
        script.answered += 1;
        let exchange = script.at(count);
        let (id, body) = response.bytes.split_at(CORRELATION_ID_BYTES.min(response.bytes.len()));
        if id != response.request.correlation_id.to_be_bytes() {
            return Err(format!("request {count}: another correlation id came back"));
        }
        if body != exchange.answer {
            return Err(format!(
                "request {count}: answered {body:02x?}, not {:02x?}",
                exchange.answer
            ));
        }
        Ok(Done { records: exchange.records, value_bytes: 0, wire_bytes: request_bytes as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::InFlight;

    fn block(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn file() -> Vec<u8> {
        let exchange =
            |mark: u8| [vec![0, 0, 0, mark], block(&[mark; 20]), block(&[0, mark])].concat();
        [vec![0, 0, 0, 1, 0, 0, 0, 2], exchange(1), exchange(2)].concat()
    }

    #[test]
    fn requests_take_turns_and_answers_must_be_equal() -> Result<(), String> {
        let mut replay = Replay::parse(&file())?;
        assert_eq!(replay.connections(), 1);
        let mut request = replay.request(0);
        let answer = |replay: &mut Replay, body: u8| {
            let bytes = [0, 0, 0, 7, 0, body];
            let in_flight = InFlight { correlation_id: 7, start_ns: 0 };
            let response = Response { bytes: &bytes, frame_bytes: 10, request: in_flight };
            replay.check(0, &response, 20).map(|done| done.records)
        };
        for mark in [1, 2, 1] {
            replay.prepare(0, &mut request);
            assert_eq!(request, vec![mark; 20]);
            assert_eq!(answer(&mut replay, mark), Ok(u64::from(mark)));
        }
        assert!(answer(&mut replay, 1).is_err(), "the second answer was due");
        Ok(())
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let whole = file();
        for length in 0..whole.len() {
            assert!(Replay::parse(&whole[..length]).is_err(), "{length}");
        }
        assert!(Replay::parse(&[0, 0, 0, 1, 0, 0, 0, 0]).is_err());
    }
}
