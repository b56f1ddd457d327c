//! What is written is read back, from a slice and from a stream alike; lies are refused; hostile bytes never panic.

use proptest::prelude::*;

use super::*;
use crate::compress::{Codec, open_reader};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn own(record: RecordRef<'_>) -> Owned {
    Owned {
        timestamp_delta: record.timestamp_delta,
        offset_delta: record.offset_delta,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record
            .headers()
            .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
            .collect(),
    }
}

fn build(records: &[Owned], codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
    for record in records {
        builder.append_at(
            record.offset_delta,
            1_000_000 + record.timestamp_delta,
            record.key.as_deref(),
            record.value.as_deref(),
            record.headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }),
        );
    }
    builder.finish().expect("builds")
}

fn payload(batch: &[u8]) -> (&[u8], i32) {
    let count = batch[57..61].try_into().map(i32::from_be_bytes).expect("four bytes");
    (&batch[BATCH_HEADER_BYTES..], count)
}

fn by_slice(bytes: &[u8], count: i32) -> Result<Vec<Owned>, RecordsError> {
    RecordIter::new(bytes, count).map(|record| record.map(own)).collect()
}

/// Hands out a few bytes at a time, so that every field falls on a border once.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn by_stream(reader: impl Read, count: i32) -> Result<Vec<Owned>, RecordsError> {
    let mut stream = RecordStream::new(reader, count);
    let mut all = Vec::new();
    while let Some(record) = stream.next_record() {
        all.push(own(record?));
    }
    Ok(all)
}

fn summaries(reader: impl Read, count: i32) -> Result<Vec<RecordSummary>, RecordsError> {
    let mut stream = RecordStream::new(reader, count);
    let mut all = Vec::new();
    while let Some(summary) = stream.next_summary() {
        all.push(summary?);
    }
    Ok(all)
}

fn simple(count: i32) -> Vec<Owned> {
    (0..count)
        .map(|index| Owned {
            timestamp_delta: i64::from(index) * 3,
            offset_delta: index,
            key: (index % 2 == 0).then(|| format!("k{index}").into_bytes()),
            value: (index % 3 != 0).then(|| vec![b'v'; index as usize * 10]),
            headers: (0..index % 4).map(|at| (vec![b'h'], (at != 1).then(|| vec![1, 2]))).collect(),
        })
        .collect()
}

#[test]
fn a_record_laid_out_by_hand_is_read() {
    // Key "k", value "v", header a=b, at offset 0.
    let record = [0x18, 0, 0, 0, 0x02, b'k', 0x02, b'v', 0x02, 0x02, b'a', 0x02, b'b'];
    let all = by_slice(&record, 1).expect("reads");
    assert_eq!(
        all,
        [Owned {
            timestamp_delta: 0,
            offset_delta: 0,
            key: Some(b"k".to_vec()),
            value: Some(b"v".to_vec()),
            headers: vec![(b"a".to_vec(), Some(b"b".to_vec()))],
        }]
    );
}

#[test]
fn every_reader_sees_what_was_written() {
    let records = simple(50);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = build(&records, codec);
        let (bytes, count) = payload(&batch);
        assert_eq!(count, 50);
        assert_eq!(by_stream(open_reader(codec, bytes), count).as_ref(), Ok(&records));
        let seen = summaries(open_reader(codec, bytes), count).expect("reads");
        for (summary, record) in seen.iter().zip(&records) {
            assert_eq!(summary.offset_delta, record.offset_delta);
            assert_eq!(summary.timestamp_delta, record.timestamp_delta);
            assert_eq!(summary.key_is_null, record.key.is_none());
            assert_eq!(summary.value_is_null, record.value.is_none());
        }
        assert_eq!(seen.len(), 50);
    }
}

#[test]
fn the_builder_writes_the_header_that_the_layout_draws() {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 7,
        leader_epoch: 3,
        producer_id: 11,
        producer_epoch: 2,
        base_sequence: 5,
        is_transactional: true,
        is_control: true,
        ..BatchOptions::default()
    });
    builder.append(1000, None, Some(b"a"), []);
    builder.append(900, None, Some(b"b"), []);
    assert_eq!(builder.count(), 2);
    let size = builder.uncompressed_bytes();
    let batch = builder.finish().expect("builds");
    assert_eq!(batch.len(), size);
    let long = |at: usize| i64::from_be_bytes(batch[at..at + 8].try_into().expect("eight"));
    let int = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().expect("four"));
    let short = |at: usize| i16::from_be_bytes(batch[at..at + 2].try_into().expect("two"));
    assert_eq!((long(0), int(8) as usize, int(12), batch[16]), (7, batch.len() - 12, 3, 2));
    assert_eq!((short(21), int(23), long(27), long(35)), (0x30, 1, 1000, 1000));
    assert_eq!((long(43), short(51), int(53), int(57)), (11, 2, 5, 2));
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    assert_eq!(int(17) as u32, crc);
}

#[test]
fn counts_must_match_to_the_byte() {
    let batch = build(&simple(3), Codec::None);
    let (bytes, _) = payload(&batch);
    for (count, error) in [
        (2, RecordsError::BytesRemain),
        (0, RecordsError::BytesRemain),
        (-1, RecordsError::BytesRemain),
        (4, RecordsError::PrematureEnd),
        (i32::MAX, RecordsError::PrematureEnd),
    ] {
        assert_eq!(by_slice(bytes, count), Err(error.clone()));
        assert_eq!(by_stream(bytes, count), Err(error.clone()));
        assert_eq!(summaries(bytes, count), Err(error));
    }
    assert_eq!(by_slice(&[], 0), Ok(vec![]));
    assert_eq!(by_stream(&[][..], 0), Ok(vec![]));
}

#[test]
fn lies_inside_a_record_are_named() {
    let cases: [(&[u8], RecordsError); 9] = [
        (&[0x01], RecordsError::NegativeLength(-1)),
        (&[0xff; 10], RecordsError::BadVarint),
        (&[0x0e, 0, 0, 0, 1, 1, 0], RecordsError::PrematureEnd),
        (&[0x0a, 0, 0, 0, 1, 1, 0], RecordsError::WrongLength { declared: 5, read: 5 }),
        (&[0x0e, 0, 0, 0, 1, 1, 0, 0], RecordsError::WrongLength { declared: 7, read: 6 }),
        (&[0x0c, 0, 0, 0, 1, 1, 1], RecordsError::BadHeaderCount(-1)),
        (&[0x0e, 0, 0, 0, 1, 1, 4, 0], RecordsError::BadHeaderCount(2)),
        (&[0x10, 0, 0, 0, 1, 1, 2, 1, 1], RecordsError::NegativeHeaderKeyLength(-1)),
        (&[0x0c, 0, 0, 0, 20, 1, 0], RecordsError::WrongLength { declared: 6, read: 6 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(by_slice(bytes, 1), Err(error.clone()), "{bytes:?}");
        assert_eq!(by_stream(bytes, 1), Err(error.clone()), "{bytes:?}");
        if error == RecordsError::PrematureEnd {
            // The stream has seen the fields before it sees the end.
            assert!(summaries(bytes, 1).is_err());
        } else {
            assert_eq!(summaries(bytes, 1), Err(error), "{bytes:?}");
        }
    }
    // A key length of -2 is null too, as in Kafka.
    let all = by_slice(&[0x0c, 0, 0, 0, 3, 3, 0], 1).expect("reads");
    assert_eq!(
        all.first().map(|record| (record.key.is_none(), record.value.is_none())),
        Some((true, true))
    );
}

#[test]
fn a_huge_record_is_summarised_without_being_held() {
    let mut builder =
        BatchBuilder::new(BatchOptions { codec: Codec::Gzip, ..BatchOptions::default() });
    builder.append(0, Some(b"key"), Some(&vec![0; 4_000_000]), []);
    let batch = builder.finish().expect("builds");
    let (bytes, count) = payload(&batch);
    let mut stream = RecordStream::new(open_reader(Codec::Gzip, bytes), count);
    let summary = stream.next_summary().expect("one").expect("reads");
    assert!(summary.size_bytes > 4_000_000 && !summary.key_is_null);
    assert_eq!(stream.record.capacity(), 0);
    assert_eq!(stream.next_summary(), None);

    let mut bounded =
        RecordStream::with_max_record_bytes(open_reader(Codec::Gzip, bytes), count, 1_000_000);
    assert!(matches!(bounded.next_record(), Some(Err(RecordsError::TooLarge { .. }))));
    assert!(bounded.next_record().is_none());
    assert_eq!(bounded.record.capacity(), 0);
}

#[test]
fn a_failing_decompressor_is_an_error_not_an_end() {
    let batch = build(&simple(20), Codec::Zstd);
    let (bytes, count) = payload(&batch);
    let cut = &bytes[..bytes.len() - 3];
    assert!(matches!(
        by_stream(open_reader(Codec::Zstd, cut), count),
        Err(RecordsError::Corrupt(_))
    ));
}

fn any_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..300))
}

fn any_record() -> impl Strategy<Value = Owned> {
    let header = (prop::collection::vec(any::<u8>(), 0..20), any_bytes());
    (any::<i32>(), 0..1_000_000_i32, any_bytes(), any_bytes(), prop::collection::vec(header, 0..70))
        .prop_map(|(timestamp, offset_delta, key, value, headers)| Owned {
            timestamp_delta: i64::from(timestamp),
            offset_delta,
            key,
            value,
            headers,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_round_trip(
        mut records in prop::collection::vec(any_record(), 0..12),
        drip in 1_usize..50,
    ) {
        if let Some(first) = records.first_mut() {
            first.timestamp_delta = 0;
        }
        let batch = build(&records, Codec::None);
        let (bytes, count) = payload(&batch);
        prop_assert_eq!(by_slice(bytes, count), Ok(records.clone()));
        prop_assert_eq!(by_stream(Drip(bytes, drip), count), Ok(records));
        let whole: Result<Vec<_>, _> =
            RecordIter::new(bytes, count).map(|record| record.map(|record| record.summary())).collect();
        prop_assert_eq!(summaries(Drip(bytes, drip), count), whole);
    }

    #[test]
    fn damage_is_judged_alike_by_all_readers(
        mut records in prop::collection::vec(any_record(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        count in -2..6_i32,
        drip in 1_usize..50,
    ) {
        if let Some(first) = records.first_mut() {
            first.timestamp_delta = 0;
        }
        let batch = build(&records, Codec::None);
        let mut bytes = payload(&batch).0.to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let slice = by_slice(&bytes, count);
        let stream = by_stream(Drip(&bytes, drip), count);
        prop_assert_eq!(&slice, &stream);
        prop_assert_eq!(slice.is_ok(), summaries(Drip(&bytes, drip), count).is_ok());
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), count in any::<i32>()) {
        let slice = by_slice(&bytes, count);
        prop_assert_eq!(slice.is_ok(), by_stream(&bytes[..], count).is_ok());
        prop_assert_eq!(slice.is_ok(), summaries(&bytes[..], count).is_ok());
    }
}
