#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_fuzz::open_with_file(
    "log",
    bytes,
    bytes.len() % 2 == 0
));
