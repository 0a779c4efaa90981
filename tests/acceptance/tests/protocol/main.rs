//! The built provider as a host of newer protocols sees it, message by message, against the simulator: what terraform 1.11 never asks for.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests: what is not there fails them"
)]

mod host;
mod identity;
mod listing;
mod types;
mod upgrade;
