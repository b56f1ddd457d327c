#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_log::producer::ProducerStates::decode_snapshot(bytes, 5);
    let _ = sluice_log::transactions::decode_aborted(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        sluice_log::epochs::EpochCache::decode(text);
        sluice_log::checkpoint::decode_offsets(text);
        let _ = sluice_log::checkpoint::MetaProperties::decode(text);
        sluice_log::checkpoint::decode_partition_metadata(text);
    }
    sluice_fuzz::open_with_file("snapshot", bytes, true);
});
