//! What stands on VMs and pools.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("marks", bytes));
