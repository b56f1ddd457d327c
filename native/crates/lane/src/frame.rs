//! Reading a request: primitive types of the protocol from bytes that nobody vouches for.
//!
//! Every read answers `None` where the bytes do not suffice, and everything that is unusual besides (a null where none belongs,
//! tagged fields) is left to whoever reads: the lane gives such a frame back.

use std::ops::Range;

/// First versions with flexible headers, by API key: Produce and Fetch.
const FIRST_FLEXIBLE: [i16; 2] = [9, 12];

/// A position in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes` from `at`.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Index of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// An int8.
    #[inline]
    pub fn int8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    /// An int16.
    #[inline]
    pub fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// An int32.
    #[inline]
    pub fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// An int64.
    #[inline]
    pub fn int64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self) -> Option<[u8; 16]> {
        self.array()
    }

    /// An unsigned varint of at most five bytes and 31 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.int8()? as u8;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return (shift < 28 || byte < 0x08).then_some(value);
            }
        }
        None
    }

    /// A length that is told plus one in compact encodings, as int32 or int16 else. `None` also for null.
    #[inline]
    fn compact_length(&mut self) -> Option<usize> {
        Some(self.unsigned_varint()?.checked_sub(1)? as usize)
    }

    /// Number of elements of an array that is not null.
    #[inline]
    pub fn array_count(&mut self, is_flexible: bool) -> Option<usize> {
        if is_flexible { self.compact_length() } else { usize::try_from(self.int32()?).ok() }
    }

    /// A string that is not null, as bytes.
    #[inline]
    pub fn string(&mut self, is_flexible: bool) -> Option<&'a [u8]> {
        let length = if is_flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.int16()?).ok()?
        };
        self.take(length)
    }

    /// A string that may be null.
    #[inline]
    pub fn nullable_string(&mut self, is_flexible: bool) -> Option<Option<&'a [u8]>> {
        let length = if is_flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.int16()?)
        };
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            // Other negative lengths are odd.
            Err(_) => (length == -1).then_some(None),
        }
    }

    /// Where bytes or records that are not null lie in the frame.
    #[inline]
    pub fn bytes(&mut self, is_flexible: bool) -> Option<Range<usize>> {
        let length = if is_flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.int32()?).ok()?
        };
        let start = self.at;
        self.take(length)?;
        Some(start..self.at)
    }

    /// Reads the end of a structure. `None` where it carries tagged fields.
    #[inline]
    pub fn no_tags(&mut self, is_flexible: bool) -> Option<()> {
        (!is_flexible || self.int8()? == 0).then_some(())
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// Where the client id is in the frame, if there is one.
    pub client_id: Option<Range<usize>>,
    /// Whether the version is a flexible one.
    pub is_flexible: bool,
    /// Where the body begins.
    pub body: usize,
}

impl Header {
    /// Reads the head of a Produce or Fetch. `None` for other APIs, and for anything odd.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(frame, 0);
        let api_key = cursor.int16()?;
        let api_version = cursor.int16()?;
        let first_flexible = *FIRST_FLEXIBLE.get(usize::try_from(api_key).ok()?)?;
        let is_flexible = api_version >= first_flexible;
        let correlation_id = cursor.int32()?;
        let start = cursor.position() + 2;
        let client_id =
            cursor.nullable_string(false)?.map(|client_id| start..start + client_id.len());
        cursor.no_tags(is_flexible)?;
        let body = cursor.position();
        Some(Self { api_key, api_version, correlation_id, client_id, is_flexible, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_anything_odd_is_none() {
        let frame = [0, 0, 0, 9, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 99];
        let header = Header::parse(&frame).expect("a head");
        assert_eq!(header.client_id, Some(10..12));
        assert_eq!((header.api_version, header.correlation_id, header.body), (9, 7, 13));
        assert!(header.is_flexible);
        for length in 0..13 {
            assert_eq!(Header::parse(&frame[..length]), None);
        }
        let tagged = [0, 0, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 1, 0, 0];
        assert_eq!(Header::parse(&tagged), None);
        let other = [0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff];
        assert_eq!(Header::parse(&other), None);
    }

    #[test]
    fn varints_have_at_most_31_bits() {
        let read = |bytes: &[u8]| Cursor::new(bytes, 0).unsigned_varint();
        assert_eq!(read(&[0x7f]), Some(127));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x07]), Some(0x7fff_ffff));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), None);
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), None);
        assert_eq!(read(&[0x80]), None);
    }
}
