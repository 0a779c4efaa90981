//! The tests' provider as a program of its own, as a host would start it.

#[path = "../tests/protocol/corner.rs"]
#[allow(
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "its panics are what is tested"
)]
mod corner;

use std::{process::ExitCode, sync::Arc};

use plugin::{Mode, ServeOptions};

fn main() -> ExitCode {
    let mode = if std::env::args().any(|argument| argument == "--debug") {
        Mode::Debug
    } else {
        Mode::Plugin
    };
    let make = || Arc::new(corner::Corner::new(corner::Events::default())) as Arc<dyn plugin::provider::Provider>;
    plugin::run(
        make,
        ServeOptions {
            address: "registry.terraform.io/acme/corner",
            mode,
        },
    )
}
