//! The reaper in process, against a simulated pool.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of a test fail by panicking"
)]

mod daemon;
mod faults;
mod foreign_keys;
mod killed;
mod lab;
mod plans;
mod rails;
mod tickets;
mod verdicts;
