//! Histories end to end: one suite of behaviours over all sinks, and what is special to each.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

mod child;
mod facts;
mod files;
mod postgres;
mod recording;
mod server;
mod suite;
