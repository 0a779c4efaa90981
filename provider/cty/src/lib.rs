//! Values, types and paths as Terraform knows them, with their msgpack and JSON codecs.
//!
//! ```text
//!   msgpack (RPC) ─┐                 ┌─ msgpack (RPC)
//!                  ├─ Value + Type ──┤
//!   JSON (state) ──┘                 └─ JSON
//! ```
//!
//! A [`Value`] carries no type of its own: a set and a list look alike once a set is normalised, and so do a map and an
//! object. Whoever encodes, decodes or compares passes the [`Type`] along. What is absent here on purpose: I/O, async,
//! schemas, and any idea of what a resource is.

mod nfc;
mod number;
mod path;
mod types;
mod value;

pub mod json;
pub mod msgpack;

mod codec_error;

pub use codec_error::{CodecError, Problem};
pub use number::{Number, NumberError};
pub use path::{Path, Step};
pub use types::{Type, TypeError};
pub use value::{Refinement, Typed, Value};
