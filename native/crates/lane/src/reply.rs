//! Replies: bytes that are appended, and slices of segment files between them.

use sluice_log::FileSlice;

/// Where a frame began, for [`ReplyBuffer::end_frame`] or [`ReplyBuffer::abandon`].
#[derive(Clone, Copy, Debug)]
pub struct FrameMark {
    start: usize,
    slices: usize,
}

/// Replies of one connection on their way out, in order.
#[derive(Debug, Default)]
pub struct ReplyBuffer {
    bytes: Vec<u8>,
    /// Position in `bytes` before which a slice goes, ascending.
    slices: Vec<(usize, FileSlice)>,
    slices_bytes: u64,
}

impl ReplyBuffer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes, without the slices.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The slices and where they go.
    pub fn slices(&self) -> &[(usize, FileSlice)] {
        &self.slices
    }

    /// Bytes of all slices together.
    pub fn slices_bytes(&self) -> u64 {
        self.slices_bytes
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.slices.clear();
        self.slices_bytes = 0;
    }

    /// Begins a frame: its size, to be known later, and the head of a response.
    pub fn begin_frame(&mut self, correlation_id: i32, is_flexible: bool) -> FrameMark {
        let mark = FrameMark { start: self.bytes.len(), slices: self.slices.len() };
        self.int32(0);
        self.int32(correlation_id);
        if is_flexible {
            self.int8(0);
        }
        mark
    }

    /// Ends a frame: its size is that of its bytes and slices. `false`, and nothing is left of it, when it is beyond what a frame
    /// may have.
    #[must_use]
    pub fn end_frame(&mut self, mark: FrameMark) -> bool {
        let sliced: u64 =
            self.slices.get(mark.slices..).unwrap_or_default().iter().map(|(_, s)| s.length).sum();
        let own = self.bytes.len().saturating_sub(mark.start + 4) as u64;
        let Ok(size) = i32::try_from(own.saturating_add(sliced)) else {
            self.abandon(mark);
            return false;
        };
        self.put_int32(mark.start, size);
        true
    }

    /// Takes back everything since a frame began.
    pub fn abandon(&mut self, mark: FrameMark) {
        self.bytes.truncate(mark.start);
        self.slices.truncate(mark.slices);
        self.slices_bytes = self.slices.iter().map(|(_, slice)| slice.length).sum();
    }

    /// Where the next byte goes, for [`Self::put_int32`].
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Overwrites four bytes that are there.
    pub fn put_int32(&mut self, at: usize, value: i32) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// An int8.
    #[inline]
    pub fn int8(&mut self, value: i8) {
        self.bytes.push(value as u8);
    }

    /// An int16.
    #[inline]
    pub fn int16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An int32.
    #[inline]
    pub fn int32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An int64.
    #[inline]
    pub fn int64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// An unsigned varint.
    #[inline]
    pub fn unsigned_varint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    /// Number of elements of an array.
    #[inline]
    pub fn array_count(&mut self, is_flexible: bool, count: usize) {
        if is_flexible {
            self.unsigned_varint(count as u32 + 1);
        } else {
            self.int32(count as i32);
        }
    }

    /// A string.
    #[inline]
    pub fn string(&mut self, is_flexible: bool, bytes: &[u8]) {
        if is_flexible {
            self.unsigned_varint(bytes.len() as u32 + 1);
        } else {
            self.int16(bytes.len() as i16);
        }
        self.raw(bytes);
    }

    /// Length of bytes or records that follow.
    #[inline]
    pub fn bytes_length(&mut self, is_flexible: bool, length: usize) {
        if is_flexible {
            self.unsigned_varint(length as u32 + 1);
        } else {
            self.int32(length as i32);
        }
    }

    /// The end of a structure, without tagged fields.
    #[inline]
    pub fn no_tags(&mut self, is_flexible: bool) {
        if is_flexible {
            self.int8(0);
        }
    }

    /// Room for `count` bytes that the caller fills, zeros until then: for records that are copied from a file.
    pub fn room(&mut self, count: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    /// Bytes of a file, sent from it with `sendfile` and without a copy. Only for what is in the page cache: the lane must not wait
    /// for a disk. The file must have one (`as_file`).
    pub fn slice(&mut self, slice: FileSlice) {
        self.slices_bytes += slice.length;
        self.slices.push((self.bytes.len(), slice));
    }
}
