//! The reaper's configuration.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("hcl", bytes));
