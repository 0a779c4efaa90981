//! Tests of the whole client against a scripted server that speaks byte-exact answers.

mod calls;
mod events;
mod hostile;
mod names;
mod properties;
mod server;
mod sessions;
mod tasks;
mod tls;
