#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for suffix in ["index", "timeindex", "txnindex"] {
        sluice_fuzz::open_with_file(suffix, bytes, true);
    }
});
