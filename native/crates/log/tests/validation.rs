//! What producers are told: the corpus of bad batches with Kafka 4.4's answers, idempotence, timestamps, codecs.
// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use sluice_log::compress::Codec;
use sluice_log::config::{CompressionType, TimestampType};
use sluice_log::records::{BatchBuilder, BatchOptions};
use sluice_log::{AppendLimits, AppendRequest, LogConfig, Origin};
use support::*;

fn inline(inline_bytes: u64) -> AppendLimits {
    AppendLimits { inline_bytes }
}

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[test]
fn bad_batches_are_answered_as_kafka_does() {
    let (_files, _manager, log) = store(config());
    let good = batch(&["one", "two"]);
    let with = |extra: &[u8]| [good.clone(), extra.to_vec()].concat();
    let set = |at: usize, bytes: &[u8]| {
        let mut batch = good.clone();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    };
    let length = i32::from_be_bytes(good[8..12].try_into().unwrap());
    let cases: Vec<(&str, Vec<u8>, i16)> = vec![
        ("empty", vec![], 87),
        ("two batches", with(&good), 87),
        ("magic 0", set(16, &[0]), 87),
        ("magic 1", set(16, &[1]), 87),
        ("magic 3", set(16, &[3]), 2),
        ("magic -1", set(16, &[0xff]), 2),
        ("bad CRC", set(17, &[1, 2, 3, 4]), 2),
        ("a flipped bit in a value", set(good.len() - 2, b"#"), 2),
        ("short batch length", set(8, &10i32.to_be_bytes()), 2),
        ("batch length 0", set(8, &0i32.to_be_bytes()), 2),
        ("batch length negative", set(8, &(-1i32).to_be_bytes()), 2),
        ("batch length past the end", set(8, &(length + 1).to_be_bytes()), 87),
        (
            "a batch too short for its header",
            {
                let mut short = good[..60].to_vec();
                short[8..12].copy_from_slice(&48i32.to_be_bytes());
                short
            },
            2,
        ),
        ("trailing 7 bytes", with(&[0; 7]), 0),
        ("trailing 20 zeros", with(&[0; 20]), 2),
        ("base offset 5", set(0, &5i64.to_be_bytes()), 87),
        ("count 3 of 2", patched(good.clone(), 57, &3i32.to_be_bytes()), 87),
        ("count 0", patched(good.clone(), 57, &0i32.to_be_bytes()), 87),
        ("count -1", patched(good.clone(), 57, &(-1i32).to_be_bytes()), 87),
        ("count 2^31-1", patched(good.clone(), 57, &i32::MAX.to_be_bytes()), 87),
        ("last offset delta -1", patched(good.clone(), 23, &(-1i32).to_be_bytes()), 87),
        (
            "count and delta both lie",
            patched(patched(good.clone(), 57, &9i32.to_be_bytes()), 23, &8i32.to_be_bytes()),
            87,
        ),
        (
            "count and delta both one less",
            patched(patched(good.clone(), 57, &1i32.to_be_bytes()), 23, &0i32.to_be_bytes()),
            87,
        ),
        ("control", patched(good.clone(), 21, &0x20i16.to_be_bytes()), 87),
        ("sequence -1 with a producer", patched(good.clone(), 43, &5i64.to_be_bytes()), 87),
        ("record length one more", patched(good.clone(), 61, &[good[61] + 2]), 87),
        ("record length negative", patched(good.clone(), 61, &[1]), 87),
        ("ten bytes of ff as record length", patched(good.clone(), 61, &[0xff; 10]), 87),
        ("codec 5", patched(good.clone(), 21, &5i16.to_be_bytes()), 2),
        ("codec 7", patched(good.clone(), 21, &7i16.to_be_bytes()), 2),
        ("not gzip", patched(good.clone(), 21, &1i16.to_be_bytes()), 2),
        ("not snappy", patched(good.clone(), 21, &2i16.to_be_bytes()), 2),
        ("not lz4", patched(good.clone(), 21, &3i16.to_be_bytes()), 2),
        ("not zstd", patched(good.clone(), 21, &4i16.to_be_bytes()), 2),
        ("unused attribute bits", patched(good.clone(), 21, &0x4000i16.to_be_bytes()), 0),
        ("good", good.clone(), 0),
    ];
    let answers: Vec<(&str, i16)> =
        cases.iter().map(|(name, bytes, _)| (*name, code(&log, bytes))).collect();
    let expected: Vec<(&str, i16)> = cases.iter().map(|(name, _, code)| (*name, *code)).collect();
    assert_eq!(answers, expected);
    let accepted = expected.iter().filter(|(_, code)| *code == 0).count() as i64;
    assert_eq!(log.state().log_end_offset, accepted * 2);
}

#[test]
fn gaps_in_offset_deltas_are_kept_plain_and_closed_compressed() {
    let (_files, _manager, log) = store(config());
    for codec in CODECS {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for (delta, value) in [(0, "a"), (5, "b"), (1, "c")] {
            builder.append_at(delta, NOW_MS, None, Some(value.as_bytes()), []);
        }
        let batch = patched(builder.finish().unwrap(), 23, &2i32.to_be_bytes());
        let base = append(&log, &batch).unwrap().base_offset;
        let offsets: Vec<i64> =
            records_from(&log, base).iter().map(|(offset, _)| offset - base).collect();
        if codec == Codec::None {
            assert_eq!(offsets, [0, 5, 1]);
        } else {
            assert_eq!(offsets, [0, 1, 2]);
        }
        assert_eq!(log.state().log_end_offset, base + 3);
    }
}

#[test]
fn sizes_are_bounded() {
    let limit = batch(&["0123456789"]).len() as i64;
    let (_files, _manager, log) = store(LogConfig { max_message_bytes: limit, ..config() });
    assert_eq!(code(&log, &batch(&["0123456789"])), 0);
    assert_eq!(code(&log, &batch(&["01234567890"])), 10);
    log.configure(LogConfig { segment_bytes: limit - 1, ..config() });
    assert_eq!(code(&log, &batch(&["0123456789"])), 18);
}

#[test]
fn timestamps_are_bounded_and_each_record_named() {
    let config = LogConfig { message_timestamp_before_max_ms: 1000, ..config() };
    let (_files, _manager, log) = store(config.clone());
    let at = |timestamp| batch_of(BatchOptions::default(), timestamp, &["a", "b"]);
    assert_eq!(code(&log, &at(NOW_MS - 1000)), 0);
    assert_eq!(code(&log, &at(NOW_MS + 3_599_999)), 0);
    let error = append(&log, &at(NOW_MS - 1001)).unwrap_err();
    assert_eq!((error.code.0, error.record_errors.len()), (32, 1));
    assert_eq!(error.record_errors[0].batch_index, 0);
    assert_eq!(
        error.record_errors[0].message.as_deref(),
        Some(
            format!(
                "Timestamp {} of message with offset 0 is out of range. The timestamp should be within [{}, {}]",
                NOW_MS - 1001,
                NOW_MS - 1000,
                NOW_MS + 3_600_000
            )
            .as_str()
        )
    );
    let error = append(&log, &at(NOW_MS + 7_200_000)).unwrap_err();
    assert_eq!((error.code.0, error.record_errors.len()), (32, 2));
    assert_eq!(code(&log, &at(i64::MAX - 1)), 32);
    let none = patched(batch_of(BatchOptions::default(), -1, &["a"]), 35, &(-1i64).to_be_bytes());
    assert_eq!(code(&log, &none), 0);
}

#[test]
fn a_maximal_timestamp_that_lies_is_corrected() {
    let (_files, _manager, log) = store(config());
    for codec in CODECS {
        let lie = patched(compressed(codec, &["a", "b"]), 35, &(NOW_MS + 999_999).to_be_bytes());
        let base = append(&log, &lie).unwrap().base_offset;
        let stored = headers(&bytes_of(&log.read(&read_request(base))));
        assert_eq!(
            (stored[0].max_timestamp, stored[0].is_log_append_time()),
            (NOW_MS + 1, false),
            "{codec:?}"
        );
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..config() };
    let (_files, _manager, log) = store(config);
    for codec in CODECS {
        let old = batch_of(BatchOptions { codec, ..BatchOptions::default() }, 5, &["a", "b"]);
        let outcome = append(&log, &old).unwrap();
        assert_eq!(outcome.append_time_ms, NOW_MS);
        let stored = headers(&bytes_of(&log.read(&read_request(outcome.base_offset))));
        assert_eq!((stored[0].max_timestamp, stored[0].is_log_append_time()), (NOW_MS, true));
    }
    assert_eq!(
        log.offset_for_timestamp(NOW_MS, sluice_log::Isolation::ReadUncommitted, -1).offset,
        0
    );
    let claims = batch_of(
        BatchOptions { log_append_time_ms: Some(7), ..BatchOptions::default() },
        5,
        &["a"],
    );
    assert_eq!(code(&log, &claims), 32);
}

#[test]
fn compacted_topics_need_keys() {
    let config = LogConfig { cleanup_policy: vec!["compact".to_owned()], ..config() };
    let (_files, _manager, log) = store(config);
    assert_eq!(code(&log, &batch(&["keyed"])), 0);
    for codec in CODECS {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        builder.append(NOW_MS, None, Some(b"a"), []);
        builder.append(NOW_MS, Some(b"k"), Some(b"b"), []);
        builder.append(NOW_MS, None, Some(b"c"), []);
        let error = append(&log, &builder.finish().unwrap()).unwrap_err();
        let indexes: Vec<i32> = error.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!((error.code.0, indexes), (87, vec![0, 2]));
    }
    assert_eq!(log.state().log_end_offset, 1);
}

#[test]
fn compression_type_of_the_topic_wins() {
    let values = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"];
    for (target, codec) in [
        (CompressionType::Uncompressed, Codec::None),
        (CompressionType::Gzip, Codec::Gzip),
        (CompressionType::Snappy, Codec::Snappy),
        (CompressionType::Lz4, Codec::Lz4),
        (CompressionType::Zstd, Codec::Zstd),
    ] {
        let (_files, _manager, log) = store(LogConfig { compression_type: target, ..config() });
        for source in CODECS {
            let base = append(&log, &compressed(source, &values)).unwrap().base_offset;
            let stored = headers(&bytes_of(&log.read(&read_request(base))));
            assert_eq!((stored[0].codec(), stored[0].max_timestamp), (Some(codec), NOW_MS + 1));
            let read: Vec<String> =
                records_from(&log, base).into_iter().map(|(_, value)| value).collect();
            assert_eq!(read, values);
        }
    }
}

#[test]
fn a_bomb_is_walked_not_inflated() {
    let (_files, _manager, log) = store(LogConfig { max_message_bytes: 1 << 30, ..config() });
    let zeros = "0".repeat(8 << 20);
    let bomb = compressed(Codec::Gzip, &[&zeros]);
    assert!(bomb.len() < 100_000);
    assert_eq!(code(&log, &bomb), 0);
}

#[test]
fn idempotent_producers() {
    let (files, manager, log) = store(config());
    for sequence in 0..7 {
        assert_eq!(
            append(&log, &sequenced(9, 0, sequence, &["v"])).unwrap().base_offset,
            i64::from(sequence)
        );
    }
    for (sequence, offset) in [(6, 6), (2, 2)] {
        let again = append(&log, &sequenced(9, 0, sequence, &["v"])).unwrap();
        assert_eq!((again.base_offset, again.is_duplicate), (offset, true));
    }
    for sequence in [0, 1, 8, 100] {
        assert_eq!(code(&log, &sequenced(9, 0, sequence, &["v"])), 45, "sequence {sequence}");
    }
    assert_eq!(code(&log, &sequenced(9, 1, 3, &["v"])), 45);
    assert_eq!(code(&log, &sequenced(9, 1, 0, &["v"])), 0);
    assert_eq!(code(&log, &sequenced(9, 0, 7, &["v"])), 47);
    assert_eq!(code(&log, &sequenced(10, 0, 1234, &["an unknown producer starts anywhere"])), 0);
    assert_eq!(code(&log, &sequenced(11, 0, i32::MAX, &["v"])), 0);
    assert_eq!(code(&log, &sequenced(11, 0, 0, &["wraps"])), 0);
    let end = log.state().log_end_offset;
    assert_eq!(end, 11);

    // A clean restart remembers the last batch; an unclean one replays them all.
    manager.close().unwrap();
    drop(manager);
    let (manager, log) = reopen(&files, config());
    assert!(append(&log, &sequenced(9, 1, 0, &["v"])).unwrap().is_duplicate);
    assert_eq!(code(&log, &sequenced(9, 1, 2, &["v"])), 45);
    append(&log, &sequenced(9, 1, 1, &["v"])).unwrap();
    append(&log, &sequenced(9, 1, 2, &["v"])).unwrap();
    drop(manager);
    let (manager, log) = reopen(&files, config());
    assert!(!manager.report().was_clean);
    for sequence in 0..3 {
        assert!(append(&log, &sequenced(9, 1, sequence, &["v"])).unwrap().is_duplicate);
    }
    assert_eq!(log.state().log_end_offset, end + 2);
    manager.run_retention(NOW_MS + 100_000_000);
    assert_eq!(log.producers(), []);
    assert_eq!(code(&log, &sequenced(9, 1, 500, &["v"])), 0);
}

#[test]
fn coordinators_may_write_several_and_control_batches() {
    let (_files, _manager, log) = store(config());
    let two = [batch(&["a", "b"]), batch(&["c"])].concat();
    let outcome = append_as(&log, &two, Origin::Coordinator).unwrap();
    assert_eq!((outcome.base_offset, outcome.last_offset), (0, 2));
    assert_eq!(records_from(&log, 0).len(), 3);
    let acks = AppendRequest { acks: -1, origin: Origin::Coordinator, ..request() };
    assert!(log.append(&mut batch(&["d"]), &acks).unwrap().await_sync);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    })]

    /// Any damage is refused or harmless, and never a panic; what is accepted can be read back whole.
    #[test]
    fn damaged_batches_never_panic(
        codec in 0usize..5,
        flips in proptest::collection::vec((0usize..400, 0u8..=255), 1..6),
        cut in 0usize..400,
        keep_crc in proptest::bool::ANY,
    ) {
        let (_files, _manager, log) = store(config());
        let mut bytes = compressed(CODECS[codec], &["some value", "another value", "", "the last of them"]);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if cut < 30 {
            bytes.truncate(bytes.len().saturating_sub(cut));
        }
        if keep_crc && bytes.len() > 61 {
            bytes = patched(bytes, 20, &[]);
        }
        for origin in [Origin::Client, Origin::Coordinator, Origin::RawFollower] {
            let end = log.state().log_end_offset;
            if append_as(&log, &bytes, origin).is_ok() && log.state().log_end_offset > end {
                let plan = log.read(&read_request(log.state().log_start_offset.max(end)));
                proptest::prop_assert_eq!(plan.code.0, 0);
                headers(&bytes_of(&plan));
            }
        }
    }
}

/// A batch of one record of `size` zeros, compressed.
fn bomb(codec: Codec, size: usize) -> Vec<u8> {
    compressed(codec, &["0".repeat(size).as_str()])
}

#[test]
fn what_inflates_beyond_the_budget_is_refused_and_left_as_it_was() {
    let request =
        AppendRequest { leader_epoch: -1, acks: 1, origin: Origin::Client, now_ms: NOW_MS };
    let (_files, _manager, log) = store(LogConfig { max_message_bytes: 1 << 30, ..config() });
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let end = log.state().log_end_offset;
        let original = bomb(codec, 300_000);
        let mut bytes = original.clone();
        let refusal = log.append_within(&mut bytes, &request, &inline(200_000)).unwrap_err();
        assert_eq!(refusal.code, sluice_log::KafkaCode::NOT_INLINE, "{codec:?}");
        assert_eq!((log.state().log_end_offset, bytes == original), (end, true), "{codec:?}");
        assert_eq!(
            log.append_within(&mut bytes, &request, &inline(400_000)).unwrap().base_offset,
            end
        );
    }
    // Compressing again is dearer: a sixteenth.
    let again = LogConfig {
        compression_type: CompressionType::Gzip,
        max_message_bytes: 1 << 30,
        ..config()
    };
    let (_files, _manager, log) = store(again);
    for codec in CODECS {
        let mut bytes = bomb(codec, 100_000);
        let outcome = log.append_within(&mut bytes, &request, &inline(400_000));
        if codec == Codec::Gzip {
            outcome.unwrap();
        } else {
            assert_eq!(outcome.unwrap_err().code, sluice_log::KafkaCode::NOT_INLINE, "{codec:?}");
            log.append(&mut bytes, &request).unwrap();
        }
    }
}

#[test]
fn a_record_larger_than_the_topic_takes_is_refused_where_it_is_compressed() {
    let config = LogConfig { max_decompressed_message_bytes: 1000, ..config() };
    let (_files, _manager, log) = store(config);
    for codec in CODECS {
        assert_eq!(code(&log, &bomb(codec, 900)), 0, "{codec:?}");
        let expected = if codec == Codec::None { 0 } else { 87 };
        assert_eq!(code(&log, &bomb(codec, 1100)), expected, "{codec:?}");
    }
}

#[test]
fn a_lookup_by_time_stops_where_its_thread_may_not_go_on() {
    // Ascending times in one batch: the last record lies behind 8 MiB that inflate from a few KiB.
    let value = "\0".repeat(1 << 20);
    let values = [value.as_str(); 8];
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let config = LogConfig { max_message_bytes: 64 << 20, ..config() };
        let (_files, _manager, log) = store(config);
        assert_eq!(code(&log, &compressed(codec, &values)), 0, "{codec:?}");
        let within = |timestamp, bytes| {
            let isolation = sluice_log::Isolation::ReadUncommitted;
            let who = sluice_log::Asker { leader_epoch: -1, leader_only: false };
            let (found, used) = log.offset_for_timestamp_within(timestamp, isolation, who, bytes);
            assert!(used <= bytes, "{codec:?}");
            (found.code.0, found.offset, found.timestamp)
        };
        let last = (0, 7, NOW_MS + 7);
        assert_eq!(within(NOW_MS + 7, u64::MAX), last, "{codec:?}");
        assert_eq!(within(NOW_MS + 7, 32 << 20), last, "{codec:?}");
        assert_eq!(within(-3, 32 << 20), last, "{codec:?}");
        assert_eq!(within(NOW_MS + 7, 4 << 20), (i16::MIN, -1, -1), "{codec:?}");
        assert_eq!(within(-3, 4 << 20), (i16::MIN, -1, -1), "{codec:?}");
        assert_eq!(within(NOW_MS + 8, 0), (0, -1, -1), "{codec:?}: no batch has to be opened");
        assert_eq!(within(-1, 0), (0, 8, -1), "{codec:?}");
    }
}
