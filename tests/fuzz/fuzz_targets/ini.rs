//! The INI file of the older service.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("ini", bytes));
