//! The fleet against the simulator, in process.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod addresses;
mod budget;
mod deleting;
mod desk;
mod devices;
mod disks;
mod drives;
mod errors;
mod fat;
mod faults;
mod lab;
mod leases;
mod life;
mod lists;
mod outages;
mod panics;
mod placing;
mod ports;
mod promises;
mod protection;
mod reserving;
mod reshape;
mod room;
mod sections;
mod truth;
