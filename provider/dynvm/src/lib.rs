//! The Terraform provider `dynvm/dynvm`: the only place where Terraform's world (`cty`, `engine`, `plugin`) and XenAPI's (`xenapi`, `fleet`) meet.
//!
//! - `config` reads the provider's configuration and the environment, once, into validated settings.
//! - `server` is the resource `dynvm_server`, `data` holds the data sources; both translate and decide nothing about pools.
//! - `capacity` is the resource `dynvm_capacity`: room that is held for later.
//! - `chronicle` writes the history.
//! - `diagnose` turns failures of [`fleet`] into diagnostics.
//! - `functions` compute, and ask no pool.
//! - [`pages`] are the reference pages, made from the tables.

mod capacity;
mod chronicle;
mod config;
mod data;
mod diagnose;
mod filters;
mod functions;
pub mod install;
pub mod pages;
mod provider;
mod server;
mod settings;

pub use provider::{DynvmProvider, VERSION};
