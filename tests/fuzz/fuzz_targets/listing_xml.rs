//! Listings in XML-RPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read("listing_xml", bytes));
