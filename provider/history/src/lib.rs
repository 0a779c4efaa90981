//! The history of servers: who had which VM, where, for how long, and why it ended.
