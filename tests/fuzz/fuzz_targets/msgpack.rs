//! Values as Terraform sends them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("msgpack", bytes));
