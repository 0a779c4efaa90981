//! Blocks of the provider, its resources and data sources.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("provider", bytes));
