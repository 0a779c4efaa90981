//! JSON as Terraform stores state.
//!
//! Reading is tolerant, because a stored state may be of another version: what is missing is null, attributes that the
//! type does not know are dropped. Numbers keep every digit. Unknown values do not exist here.

mod decode;
mod encode;

pub use decode::{decode, decode_untyped};
pub use encode::encode;
