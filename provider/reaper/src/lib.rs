//! The reaper: enforces the expiry of servers, and nothing else.
