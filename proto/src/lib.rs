//! The plugin protocol as protobuf types and services.
//!
//! The code under `gen` comes from the `.proto` files beside this crate and is checked in, so that a build needs
//! neither `protoc` nor a build script. A test generates it anew and fails on a difference; with `REGENERATE=1` in the
//! environment it writes it.

/// Terraform's plugin protocol 6: the service `Provider` and its messages.
#[rustfmt::skip]
#[allow(clippy::all, missing_docs, unreachable_pub, rust_2018_idioms, reason = "generated code")]
#[path = "gen/tfplugin6.rs"]
pub mod tfplugin6;

/// go-plugin's own services: controller, stdio and broker.
#[rustfmt::skip]
#[allow(clippy::all, missing_docs, unreachable_pub, rust_2018_idioms, reason = "generated code")]
#[path = "gen/plugin.rs"]
pub mod go_plugin;
