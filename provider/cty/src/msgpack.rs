//! MessagePack as Terraform uses it between core and provider.
//!
//! Unknown values are extensions; an object always carries every attribute; a dynamic value is a pair of its type, as
//! JSON, and itself; a number that fits neither an integer nor a float is a string. Decoding is bounded in depth and in
//! memory: it never panics and never reserves more than the input could fill.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;
