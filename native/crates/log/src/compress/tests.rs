//! Every codec: round trips, foreign framings, hostile bytes, bounded memory.

use proptest::prelude::*;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer};

use super::lz4::{LZ4_FLAG_BLOCK_CHECKSUM, LZ4_FLAG_CONTENT_SIZE, LZ4_MAGIC, xxh32};
use super::*;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const CAP: usize = 8 * 1024 * 1024;

fn text(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    let mut output = Vec::with_capacity(bytes + 32);
    while output.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        output.extend_from_slice(format!("{{\"id\":{},\"name\":\"x\"}}", state >> 16).as_bytes());
    }
    output.truncate(bytes);
    output
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn corrupt(codec: Codec, bytes: &[u8]) -> String {
    match decompress(codec, bytes, CAP) {
        Err(CompressError::Corrupt { detail, .. }) => detail,
        other => panic!("expected corrupt {}, got {other:?}", codec.name()),
    }
}

#[test]
fn attributes_name_codecs_and_reserved_ids_do_not() {
    for codec in CODECS {
        assert_eq!(Codec::from_attributes(i16::from(codec.id()) | 0x78), Some(codec));
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::from_attributes(5), None);
    assert_eq!(Codec::from_attributes(7), None);
    assert_eq!(Codec::from_attributes(-1), None);
    assert_eq!(Codec::from_name("producer"), None);
}

#[test]
fn round_trips_at_block_borders() {
    let sizes = [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 64 * 1024 + 1, 300_000];
    for codec in CODECS {
        for size in sizes {
            for content in [text(size), noise(size), vec![0; size]] {
                let packed = compress(codec, None, &content).expect("compresses");
                if codec == Codec::Snappy && size == 0 {
                    // A xerial header without a block, as Java writes it.
                    assert_eq!(packed.len(), 16);
                }
                let unpacked = decompress(codec, &packed, CAP).expect("decompresses");
                assert!(unpacked == content, "{} of {size}", codec.name());
            }
        }
    }
}

#[test]
fn levels_out_of_range_are_clamped() {
    let content = text(10_000);
    for codec in CODECS {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let packed = compress(codec, Some(level), &content).expect("compresses");
            assert_eq!(decompress(codec, &packed, CAP).as_deref(), Ok(content.as_slice()));
        }
    }
}

#[test]
fn the_cap_is_exact() {
    let content = vec![7; 100_000];
    for codec in CODECS {
        let packed = compress(codec, None, &content).expect("compresses");
        assert_eq!(decompress(codec, &packed, 100_000).map(|all| all.len()), Ok(100_000));
        assert_eq!(
            decompress(codec, &packed, 99_999),
            Err(CompressError::TooLarge { max_bytes: 99_999 }),
            "{}",
            codec.name()
        );
        assert_eq!(
            decompress(codec, &packed, 0),
            Err(CompressError::TooLarge { max_bytes: 0 }),
            "{}",
            codec.name()
        );
    }
}

#[test]
fn bombs_cost_no_more_than_the_cap() {
    let content = vec![0; 8 * 1024 * 1024];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = compress(codec, None, &content).expect("compresses");
        assert_eq!(
            decompress(codec, &bomb, 1024),
            Err(CompressError::TooLarge { max_bytes: 1024 }),
            "{}",
            codec.name()
        );
        // The streaming reader holds a block, not the content.
        let mut reader = open_reader(codec, &bomb);
        let mut window = [1; 4096];
        assert!(reader.read(&mut window).expect("reads") > 0);
        assert_eq!(window.first(), Some(&0));
    }
}

#[test]
fn a_short_end_is_an_error() {
    let content = text(100_000);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, None, &content).expect("compresses");
        for cut in [0, 1, 4, 8, 15, packed.len() / 2, packed.len() - 1] {
            let outcome = decompress(codec, &packed[..cut], CAP);
            assert!(outcome.is_err(), "{} cut at {cut} gave {outcome:?}", codec.name());
        }
    }
}

#[test]
fn gzip_members_are_read_one_after_the_other() {
    let mut packed = compress(Codec::Gzip, None, b"one ").expect("compresses");
    packed.extend(compress(Codec::Gzip, Some(9), b"two").expect("compresses"));
    assert_eq!(decompress(Codec::Gzip, &packed, CAP).as_deref(), Ok(&b"one two"[..]));
    // Java ignores what does not begin another member.
    packed.extend_from_slice(b"neither");
    assert_eq!(decompress(Codec::Gzip, &packed, CAP).as_deref(), Ok(&b"one two"[..]));
    packed.truncate(packed.len() - 8);
    assert!(decompress(Codec::Gzip, &packed, CAP).is_err());
}

#[test]
fn zstd_frames_are_read_one_after_the_other() {
    let mut packed = compress(Codec::Zstd, None, b"one ").expect("compresses");
    packed.extend(compress(Codec::Zstd, Some(9), b"two").expect("compresses"));
    assert_eq!(decompress(Codec::Zstd, &packed, CAP).as_deref(), Ok(&b"one two"[..]));
}

#[test]
fn snappy_is_read_raw_and_framed() {
    let content = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&content).expect("compresses");
    assert_eq!(decompress(Codec::Snappy, &raw, CAP).as_deref(), Ok(content.as_slice()));

    let mut twice = compress(Codec::Snappy, None, b"one ").expect("compresses");
    twice.extend(compress(Codec::Snappy, None, b"two").expect("compresses"));
    assert_eq!(decompress(Codec::Snappy, &twice, CAP).as_deref(), Ok(&b"one two"[..]));
}

#[test]
fn snappy_lies_are_refused_before_memory_is_taken() {
    // A raw block that announces 4 GiB - 1 in five bytes.
    let detail = corrupt(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]);
    assert_eq!(detail, "the announced size is impossible");

    let mut negative = compress(Codec::Snappy, None, b"").expect("compresses");
    negative.extend_from_slice(&(-2_i32).to_be_bytes());
    assert_eq!(corrupt(Codec::Snappy, &negative), "a chunk length is negative");
}

const LZ4_EMPTY_BLOCK: [u8; 4] = 0x8000_0000_u32.to_le_bytes();

/// A frame as liblz4 and other clients may write it: block checksums, content size, content checksum.
fn lz4_frame(flags: u8, sizes: u8, blocks: &[&[u8]]) -> Vec<u8> {
    let mut frame = LZ4_MAGIC.to_vec();
    let mut descriptor = vec![flags, sizes];
    if flags & LZ4_FLAG_CONTENT_SIZE != 0 {
        let size: usize = blocks.iter().map(|block| block.len()).sum();
        descriptor.extend_from_slice(&(size as u64).to_le_bytes());
    }
    frame.extend_from_slice(&descriptor);
    frame.push((xxh32(&descriptor) >> 8) as u8);
    for block in blocks {
        let packed = lz4_flex::block::compress(block);
        frame.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        frame.extend_from_slice(&packed);
        if flags & LZ4_FLAG_BLOCK_CHECKSUM != 0 {
            frame.extend_from_slice(&xxh32(&packed).to_le_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

#[test]
fn lz4_frames_of_every_shape_are_read() {
    let content = text(50_000);
    for flags in [0x60, 0x60 | LZ4_FLAG_BLOCK_CHECKSUM, 0x60 | LZ4_FLAG_CONTENT_SIZE, 0x7c] {
        for size in 4..8_u8 {
            let frame = lz4_frame(flags, size << 4, &[&content, &content]);
            let unpacked = decompress(Codec::Lz4, &frame, CAP).expect("reads");
            assert!(unpacked == [content.as_slice(), &content].concat(), "{flags:x} {size}");
        }
    }
}

#[test]
fn lz4_lies_are_refused() {
    let good = lz4_frame(0x70, 0x40, &[b"hello hello hello hello"]);
    let with = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    assert_eq!(corrupt(Codec::Lz4, &with(0, 0)), "the magic number is wrong");
    assert_eq!(corrupt(Codec::Lz4, &with(6, 0)), "the frame descriptor's checksum does not match");
    assert_eq!(corrupt(Codec::Lz4, &with(9, 1)), "a block is larger than the frame allows");
    assert_eq!(corrupt(Codec::Lz4, &with(12, 1)), "a block's checksum does not match");
    for (flags, sizes, detail) in [
        (0x20, 0x40, "the frame version is not supported"),
        (0x61, 0x40, "reserved bits of the frame descriptor are set"),
        (0x60, 0x41, "reserved bits of the frame descriptor are set"),
        (0x40, 0x40, "dependent blocks are not supported"),
        (0x60, 0x30, "the block size is not valid"),
    ] {
        assert_eq!(corrupt(Codec::Lz4, &lz4_frame(flags, sizes, &[b"x"])), detail);
    }
    // An empty block ends the content, whatever follows it.
    let mut cut = lz4_frame(0x60, 0x40, &[b"seen"]);
    cut.truncate(cut.len() - 4);
    cut.extend_from_slice(&LZ4_EMPTY_BLOCK);
    cut.extend_from_slice(&lz4_frame(0x60, 0x40, &[b"unseen"])[7..]);
    assert_eq!(decompress(Codec::Lz4, &cut, CAP).as_deref(), Ok(&b"seen"[..]));
    // A block that inflates past the frame's own block size.
    assert!(decompress(Codec::Lz4, &lz4_frame(0x60, 0x40, &[&vec![0; 65_537]]), CAP).is_err());
}

#[test]
fn zstd_contexts_are_kept_and_survive_errors() {
    let content = text(10_000);
    let packed = compress(Codec::Zstd, None, &content).expect("compresses");
    for round in 0..10 {
        assert!(decompress(Codec::Zstd, &packed[..packed.len() / 2], CAP).is_err(), "{round}");
        assert_eq!(decompress(Codec::Zstd, &packed, CAP).as_deref(), Ok(content.as_slice()));
    }
    // Two readers alive at once do not share one.
    let mut one = open_reader(Codec::Zstd, &packed);
    let mut two = open_reader(Codec::Zstd, &packed);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut window = [0; 1000];
    loop {
        let count = one.read(&mut window).expect("reads");
        first.extend_from_slice(&window[..count]);
        let other = two.read(&mut window).expect("reads");
        second.extend_from_slice(&window[..other]);
        if count == 0 && other == 0 {
            break;
        }
    }
    assert!(first == content && second == content);
}

/// One raw Snappy block, as clients other than Java send it.
fn raw_snappy(content: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(content).expect("compresses")
}

#[test]
fn a_large_raw_snappy_block_is_decoded_without_being_held() {
    let mut mixed = text(700_000);
    mixed.extend(std::iter::repeat_n(0, 3_000_000));
    mixed.extend((0..400_000_u32).map(|value| (value.wrapping_mul(2_654_435_761) >> 24) as u8));
    mixed.extend(text(90_000));
    let packed = raw_snappy(&mixed);
    assert!(decompress(Codec::Snappy, &packed, mixed.len()).as_deref() == Ok(mixed.as_slice()));
    // In pieces that end inside of elements.
    let mut reader = open_reader(Codec::Snappy, &packed);
    let (mut all, mut window) = (Vec::new(), [0; 977]);
    loop {
        let count = reader.read(&mut window).expect("reads");
        if count == 0 {
            break;
        }
        all.extend_from_slice(&window[..count]);
    }
    assert!(all == mixed);
    // Cut short, and longer than announced.
    assert!(decompress(Codec::Snappy, &packed[..packed.len() - 1], mixed.len()).is_err());
    let mut longer = packed.clone();
    longer.extend_from_slice(&[0, b'x']);
    assert!(decompress(Codec::Snappy, &longer, mixed.len() + 9).is_err());
}

#[test]
fn a_large_snappy_copy_from_before_the_block_is_refused() {
    // 2 MiB announced; the first element copies from offset 1 where nothing is.
    let mut packed = vec![0x80, 0x80, 0x80, 0x01, 0x01, 0x01];
    packed.resize(200_000, 0);
    assert!(decompress(Codec::Snappy, &packed, 4 << 20).is_err());
}

#[test]
fn a_zstd_frame_may_announce_a_huge_window_but_not_fill_it() {
    let pack = |content: &[u8], window_log: u32| {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::WindowLog(window_log)).expect("sets");
        context.set_parameter(CParameter::ContentSizeFlag(false)).expect("sets");
        let mut packed = vec![0; zstd_safe::compress_bound(content.len())];
        let mut target = OutBuffer::around(packed.as_mut_slice());
        let mut source = InBuffer::around(content);
        while context.compress_stream2(
            &mut target,
            &mut source,
            zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end,
        ) != Ok(0)
        {}
        let count = target.pos();
        packed.truncate(count);
        packed
    };
    let small = text(100_000);
    assert!(decompress(Codec::Zstd, &pack(&small, 27), 1 << 20).as_deref() == Ok(small.as_slice()));
    let large = vec![0; 40 << 20];
    assert!(decompress(Codec::Zstd, &pack(&large, 23), 64 << 20).is_ok());
    assert!(matches!(
        decompress(Codec::Zstd, &pack(&large, 27), 64 << 20),
        Err(CompressError::Corrupt { codec: Codec::Zstd, .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_round_trips(
        content in prop::collection::vec(any::<u8>(), 0..5000),
        repeat in 1_usize..40,
    ) {
        let content = content.repeat(repeat);
        for codec in CODECS {
            let packed = compress(codec, None, &content).expect("compresses");
            prop_assert!(decompress(codec, &packed, content.len()).as_deref() == Ok(content.as_slice()));
        }
    }

    #[test]
    fn noise_never_panics_and_stays_under_the_cap(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for codec in CODECS {
            if let Ok(all) = decompress(codec, &bytes, 10_000) {
                prop_assert!(all.len() <= 10_000);
            }
        }
    }

    #[test]
    fn damaged_frames_never_panic(
        size in 0_usize..70_000,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let content = text(size);
        for codec in CODECS {
            let mut packed = compress(codec, None, &content).expect("compresses");
            for (at, value) in &damage {
                if !packed.is_empty() {
                    let at = at.index(packed.len());
                    packed[at] = *value;
                }
            }
            if let Ok(all) = decompress(codec, &packed, 200_000) {
                prop_assert!(all.len() <= 200_000);
            }
        }
    }
}
