//! XML-RPC as ocaml-rpc writes it, which is less than XML and at one point none.
//!
//! Texts and numbers come untagged, flags tagged. No element has attributes, and no value holds a comment, a section or an instruction:
//! all of these are refused. Names of members come unescaped, whatever they hold, so they cannot be read as XML: what stands between
//! `<name>` and the next `</name>` is the name, and if no value follows, the answer is refused. Texts are taken as they stand, also
//! their carriage returns, because ocaml-rpc writes them so.

mod reader;
mod request;
mod scan;
mod tags;

pub(super) use self::reader::Reader;
pub(super) use self::request::{escaped, request};
pub(super) use self::scan::{Xml, check};
