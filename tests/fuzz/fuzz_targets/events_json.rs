//! Events in JSON-RPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("events_json", bytes));
