//! Walks the batches of a segment file in order, through a window that is read ahead. What is not a batch is reported, never skipped.

use std::io;
use std::sync::Arc;

use crate::batch::{BatchHeader, HEADER_BYTES, is_crc_valid};
use crate::integrity::Hole;
use crate::io::{StoreFile, read_full};

/// What stands at the scanner's position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// A batch, by its header; it lies whole before the end.
    Batch { position: u64, header: BatchHeader },
    /// Nothing more.
    End,
    /// Bytes that are not a whole good batch.
    Bad { position: u64, detail: String },
}

/// A position in a segment file and a window of its bytes.
pub(crate) struct Scanner {
    file: Arc<dyn StoreFile>,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
    window_bytes: usize,
    /// Damaged places that are passed over.
    holes: Option<Arc<[Hole]>>,
}

impl Scanner {
    pub(crate) fn new(
        file: Arc<dyn StoreFile>,
        position: u64,
        end: u64,
        window_bytes: usize,
    ) -> Self {
        Self { file, position, end, window: Vec::new(), window_start: 0, window_bytes, holes: None }
    }

    /// Passes over these places.
    pub(crate) fn without(mut self, holes: Option<Arc<[Hole]>>) -> Self {
        self.holes = holes;
        self
    }

    /// Uses this memory for the window. What is in it counts for nothing.
    pub(crate) fn over(mut self, mut window: Vec<u8>) -> Self {
        window.clear();
        self.window = window;
        self
    }

    /// Reads at least so much at a time from here on.
    pub(crate) fn widen(&mut self, window_bytes: usize) {
        self.window_bytes = self.window_bytes.max(window_bytes);
    }

    /// The window and the position of its first byte.
    pub(crate) fn into_window(self) -> (Vec<u8>, u64) {
        (self.window, self.window_start)
    }

    /// Goes on at another place.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Makes `length` bytes at `position` available; fewer when the file ends.
    fn window(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let inside = position.checked_sub(self.window_start).map(|from| from as usize);
        let is_inside = inside.is_some_and(|from| from + length <= self.window.len());
        if !is_inside {
            let most = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
            let want = length.max(self.window_bytes).min(most);
            self.window.resize(want, 0);
            self.window_start = position;
            let got = read_full(&*self.file, &mut self.window, position)?;
            self.window.truncate(got);
        }
        let from = (position - self.window_start) as usize;
        let to = (from + length).min(self.window.len());
        Ok(self.window.get(from..to).unwrap_or_default())
    }

    /// The next batch by its header alone.
    pub(crate) fn next_header(&mut self) -> io::Result<Scanned> {
        for hole in self.holes.iter().flat_map(|holes| holes.iter()) {
            if (hole.from..hole.to).contains(&self.position) {
                self.position = hole.to;
            }
        }
        let position = self.position;
        if position >= self.end {
            return Ok(Scanned::End);
        }
        let bad = |detail: &str| Scanned::Bad { position, detail: detail.to_owned() };
        if self.end - position < HEADER_BYTES as u64 {
            return Ok(bad("the file ends inside of a batch header"));
        }
        let Some(header) = BatchHeader::parse(self.window(position, HEADER_BYTES)?) else {
            return Ok(bad("the file ends inside of a batch header"));
        };
        if header.magic != 2 {
            return Ok(bad("no batch of magic 2"));
        }
        if header.size() < HEADER_BYTES || header.last_offset_delta < 0 || header.base_offset < 0 {
            return Ok(bad("a batch header that cannot be"));
        }
        if header.size() as u64 > self.end - position {
            return Ok(bad("the file ends inside of a batch"));
        }
        self.position += header.size() as u64;
        Ok(Scanned::Batch { position, header })
    }

    /// The next batch, its CRC checked.
    pub(crate) fn next_verified(&mut self) -> io::Result<Scanned> {
        let scanned = self.next_header()?;
        let Scanned::Batch { position, header } = scanned else { return Ok(scanned) };
        if is_crc_valid(self.bytes(position, &header)?) {
            return Ok(scanned);
        }
        self.position = position;
        Ok(Scanned::Bad { position, detail: "the CRC does not match".to_owned() })
    }

    /// Bytes of a batch that was just returned.
    pub(crate) fn bytes(&mut self, position: u64, header: &BatchHeader) -> io::Result<&[u8]> {
        self.window(position, header.size())
    }
}

/// Looks for a good batch behind a bad place: first position at or after `from` with a header that can be, an offset at or after
/// `least_offset`, and a CRC that matches.
pub(crate) fn find_valid_batch(
    file: &Arc<dyn StoreFile>,
    from: u64,
    end: u64,
    least_offset: i64,
) -> io::Result<Option<u64>> {
    const CHUNK_BYTES: usize = 256 << 10;
    let mut start = from;
    let mut chunk = Vec::new();
    let mut candidate_bytes = Vec::new();
    while end.saturating_sub(start) >= HEADER_BYTES as u64 {
        let most = usize::try_from(end - start).unwrap_or(usize::MAX);
        chunk.resize(CHUNK_BYTES.min(most), 0);
        let got = read_full(&**file, &mut chunk, start)?;
        chunk.truncate(got);
        if got < HEADER_BYTES {
            return Ok(None);
        }
        for at in 0..=got - HEADER_BYTES {
            let Some(rest) = chunk.get(at..) else { break };
            if rest.get(16) != Some(&2) {
                continue;
            }
            let Some(header) = BatchHeader::parse(rest) else { continue };
            let position = start + at as u64;
            let is_plausible = header.size() >= HEADER_BYTES
                && header.size() as u64 <= end - position
                && header.base_offset >= least_offset
                && header.last_offset_delta >= 0
                && header.record_count >= 0
                && header.leader_epoch >= -1;
            if !is_plausible {
                continue;
            }
            candidate_bytes.resize(header.size(), 0);
            let count = read_full(&**file, &mut candidate_bytes, position)?;
            if count == candidate_bytes.len() && is_crc_valid(&candidate_bytes) {
                return Ok(Some(position));
            }
        }
        start += (got - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}
