//! Values as Terraform stores them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("state", bytes));
