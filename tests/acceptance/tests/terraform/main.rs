//! The built provider under the real terraform (and tofu, where it is on the PATH), against the simulator. One file per theme.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests: what is not there fails them"
)]

mod address;
mod admission;
mod broken;
mod certificates;
mod change;
mod config_file;
mod contention;
mod create;
mod data;
mod destroy;
mod drift;
mod environment;
mod examples;
mod failure;
mod first_boot;
mod history;
mod hostile;
mod idle;
mod import;
mod interrupt;
mod labels;
mod later;
mod lease;
mod lease_elsewhere;
mod many;
mod marks;
mod modules;
mod moved;
mod place;
mod refusals;
mod reservation;
mod reshape;
mod secrets;
mod sessions;

// The axes of the fault matrix, of which this is a sample.
#[path = "../../../../provider/reaper/tests/matrix/fault.rs"]
mod fault;
#[path = "../../../../provider/reaper/tests/matrix/trace.rs"]
mod trace;

/// A server of the alias `debian12` that other cases vary: its address is `dynvm_server.a`.
const SERVER: &str = r#"
resource "dynvm_server" "a" {
  name = "web"
  os   = "debian12"
}
"#;

/// The address of [`SERVER`].
const A: &str = "dynvm_server.a";

/// A server with these lines in place of all but its name.
fn server(lines: &str) -> String {
    format!("resource \"dynvm_server\" \"a\" {{\n  name = \"web\"\n{lines}\n}}\n")
}
