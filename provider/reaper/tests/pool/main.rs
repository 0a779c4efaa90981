//! The reaper in process, against a simulated pool.

mod daemon;
mod faults;
mod killed;
mod lab;
mod plans;
mod rails;
mod verdicts;
