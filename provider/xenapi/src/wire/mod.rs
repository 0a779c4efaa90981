//! The wire: JSON-RPC and XML-RPC as xapi speaks them. The only place that knows how either is written.
//!
//! JSON-RPC is preferred. It is half as long, and a pool escapes every text in it. In XML-RPC it does not: ocaml-rpc writes the names
//! of members as they are, so a map key can make an answer that is no XML, and worse, the key
//! `a</name><value>b</value></member><member><name>c` reads as two members. Over XML whoever may write one key of one map can forge
//! others; over JSON nobody can. Pools older than 7.3 have no JSON-RPC, so XML-RPC stays as the fallback.
//!
//! ```text
//!   bytes ──> Splitter ──part by part──> Raw ──serde──> typed record
//!             knows where a part ends    serde_json, or xml::Reader
//! ```
//! Nothing is built that nobody asked for. The [`Splitter`](split::Splitter) only finds where the parts of an answer end: the whole result, or each
//! record of a listing, or each event. A part is decoded straight into its type as soon as its last byte has come, and forgotten: an
//! answer of any length takes the memory of its largest record.
//!
//! What both wires have in common (read in xapi): a failure is HTTP 200; times have no dashes; an absent optional is an absent member.

mod answer;
mod error;
mod json;
mod raw;
mod request;
mod split;
mod time;
mod typed;
mod xml;

pub(crate) use self::answer::{Answer, ReadError, read_answer};
pub(crate) use self::error::WireError;
pub(crate) use self::raw::{Raw, read_fragment};
pub(crate) use self::request::{Value, check_key, request};
pub(crate) use self::split::Cut;
pub(crate) use self::time::parse_time;
pub(crate) use self::typed::{As, FromWire, Name, Texts};

/// How calls and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// JSON-RPC 2.0, since XenServer 7.3.
    Json,
    /// XML-RPC.
    Xml,
}

/// Which [`Wire`] a pool is talked to on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WireChoice {
    /// JSON-RPC where the pool offers it, else XML-RPC: the login finds out.
    #[default]
    Auto,
    /// This one and no other.
    Only(Wire),
}

impl Wire {
    /// The path that calls are posted to.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Json => "/jsonrpc",
            Self::Xml => "/",
        }
    }

    /// What a request says that it is.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "text/xml",
        }
    }
}
