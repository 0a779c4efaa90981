//! The reaper: enforces the expiry of servers, and nothing else.

pub mod listen;
pub mod metrics;
