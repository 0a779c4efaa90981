//! Serves a provider over Terraform's plugin protocol 6.
//!
//! ```text
//! exec -> cookie -> socket -> handshake line on stdout -> connections (mutual TLS) -> calls -> Shutdown -> exit 0
//!
//!   server      one run of the above, and how it ends           calls     a call is a task: it outlives its request
//!   handshake   the line; socket, tls, connection: transport    rpc       one file per family: decode, ask, check, encode
//!   go_plugin   controller, stdio and broker                    wire      values, schemas and diagnostics as messages
//!   reattach    started by hand, for debugging                  logging   lines that TF_LOG understands
//! ```
//!
//! What is absent on purpose: any decision about plans and states, which are the engine's, and any knowledge of what is
//! provided. Only this crate names the protocol's messages.

pub mod provider;
pub mod reattach;
pub mod server;

mod calls;
mod connection;
mod environment;
mod go_plugin;
mod handshake;
mod lifecycle;
mod logging;
mod rpc;
mod run;
mod served;
mod socket;
mod tls;
mod wire;

pub use environment::Environment;
pub use handshake::started_by_hand;
pub use logging::LogLevel;
pub use run::{Mode, ServeError, ServeOptions, run, serve};
