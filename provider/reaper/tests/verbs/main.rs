//! The verbs against simulated pools: in process what they print and do, and as a process what signals do.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test fail by panicking"
)]

mod acknowledging;
mod changing;
mod desk;
mod doctor;
mod flat;
mod history;
#[path = "../pool/lab.rs"]
#[expect(dead_code, reason = "each test binary uses its own part")]
mod lab;
mod looking;
mod process;
