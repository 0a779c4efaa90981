//! The protocol as a host sees it: in process over a real socket, as a process, and under the real Terraform.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod applying;
mod calls;
mod corner;
mod ending;
mod host;
mod identity;
mod listing;
mod process;
mod reading;
mod terraform;
mod transport;
