//! The built provider under the real terraform, against pools that the simulator plays.
//!
//! A [`Lab`] is a running simulator with a [`sim::Control`]; a [`Workspace`] is a folder with a module and a terraform that sees nothing of the
//! machine but the provider that was built; a [`Reaper`] is the built reaper for a lab; [`whole_life`] is the shape that every case has: apply, an empty plan, an empty refresh, destroy, and
//! a world as it was before. Everything here fails by panicking with the whole output of what went wrong.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a harness of tests: a panic with the whole story is how it fails, and a JSON field that is absent reads as null"
)]

mod difference;
mod lab;
mod life;
mod module;
mod outcome;
mod process;
mod reaper;
mod sandbox;
mod state;
mod state_store;
mod tool;
mod wiretap;
mod workspace;

pub use difference::difference;
pub use lab::{Lab, Vm, standard_world};
pub use life::{assert_unchanged, whole_life};
pub use module::{PoolBlock, ProviderBlock, quoted};
pub use outcome::{Diagnostic, Outcome};
pub use process::{Process, Running, group_members, is_alive, is_group_alive};
pub use reaper::Reaper;
pub use state::{Plan, State};
pub use tool::{Tool, idle_provider_binary, provider_binary, reaper_binary, under_each_tool};
pub use wiretap::Wiretap;
pub use workspace::{REQUIRED, Workspace};
