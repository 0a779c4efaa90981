//! A XenAPI client: transport, sessions, failures with outcomes, tasks and events, typed records.
