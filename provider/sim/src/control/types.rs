//! What goes in and out of the control API; each type has the same shape in Rust and in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a control call was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "error")]
pub enum ControlError {
    /// Nothing of that name.
    #[error("there is no {kind} {name:?}")]
    NotFound {
        /// Pool, host, VM, SR.
        kind: String,
        /// The name or UUID asked for.
        name: String,
    },
    /// The request makes no sense, or does not fit the state.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
    },
}

/// A pool's addresses and credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolAddress {
    /// Name in the world.
    pub name: String,
    /// URL of the coordinator, such as `http://127.0.0.1:40001`.
    pub url: String,
    /// URLs of all hosts, coordinator included, in the order of the world.
    pub member_urls: Vec<String>,
    /// `sha256:AB:CD:...` of the coordinator's certificate, with TLS.
    pub certificate_fingerprint: Option<String>,
    /// The coordinator's certificate, with TLS.
    pub certificate_pem: Option<String>,
    /// `sha256:...` of each host's certificate, in the order of `member_urls`, with TLS.
    pub member_fingerprints: Vec<String>,
    /// The superuser.
    pub username: String,
    /// The superuser's password.
    pub password: String,
    /// UUID of the pool object.
    pub uuid: String,
}

/// A request that the simulator served or serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Position in the order of arrival over all pools, from 1; never reset.
    pub index: u64,
    /// Pool name.
    pub pool: String,
    /// Host that received it.
    pub host: String,
    /// Method as called, such as `VM.start` or `Async.VM.clone`; `PUT /import_raw_vdi` and the like for HTTP handlers.
    pub method: String,
    /// Arrival, in real microseconds since the simulator started.
    pub started_us: u64,
    /// End; absent while under way.
    pub ended_us: Option<u64>,
    /// Bytes of the body received.
    pub request_bytes: u64,
    /// Bytes of the body sent.
    pub response_bytes: u64,
    /// `OK`, the XenAPI error code, `HTTP 500` and the like, `CUT`, `GARBAGE`; `HANGING` while an injected fault holds it.
    pub outcome: String,
    /// Number of the TCP connection that carried it.
    pub connection: u64,
    /// Index of the request with the latest end among those that had ended when this one arrived.
    pub after: Option<u64>,
}

/// What an injected fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with this failure instead of acting.
    Error {
        /// XenAPI error code.
        code: String,
        /// Its parameters.
        params: Vec<String>,
    },
    /// Acts, then answers with this failure.
    ErrorAfter {
        /// XenAPI error code.
        code: String,
        /// Its parameters.
        params: Vec<String>,
    },
    /// Closes the connection without acting.
    CutBefore,
    /// Acts, then closes the connection without an answer.
    CutAfter,
    /// Never answers and never acts.
    Hang,
    /// Acts, and never answers.
    HangAfter,
    /// Answers HTTP 500 without acting.
    Http500,
    /// Answers HTTP 200 with this body without acting.
    Garbage(Vec<u8>),
    /// Acts, then sends only so many bytes of the answer.
    Truncate(u64),
    /// Acts, then answers with every second member of the result only: a listing that is not whole, in good syntax.
    HalfListing,
    /// Waits so many milliseconds on the simulator's clock, then acts.
    Delay(u64),
    /// Forgets the session, so that the call fails with `SESSION_INVALID`.
    SessionInvalid,
    /// The toolstack restarts instead of acting: connections, sessions and tasks are gone.
    Restart,
    /// Acts, then the toolstack restarts without an answer.
    RestartAfter,
    /// Another host, by name or UUID, becomes the coordinator instead of acting; connections, sessions and tasks are gone.
    Coordinator(String),
}

/// When an injected fault strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultRule {
    /// Pool name; all pools without it.
    pub pool: Option<String>,
    /// Method glob (`*` and `?`) over names such as `VM.clone`, without `Async.`.
    pub method: String,
    /// Only calls that mention this text in a parameter.
    pub containing: Option<String>,
    /// Skips so many matching calls first.
    pub skip: u64,
    /// Strikes so many times; 0 means always.
    pub count: u64,
    /// What happens.
    pub kind: FaultKind,
}

impl Default for FaultRule {
    fn default() -> Self {
        Self {
            pool: None,
            method: "*".to_owned(),
            containing: None,
            skip: 0,
            count: 1,
            kind: FaultKind::CutBefore,
        }
    }
}

impl FaultRule {
    /// A rule that strikes the next call of `method` once, in any pool.
    #[must_use]
    pub fn once(method: &str, kind: FaultKind) -> Self {
        Self {
            method: method.to_owned(),
            kind,
            ..Self::default()
        }
    }

    /// A rule that strikes every call of `method`.
    #[must_use]
    pub fn always(method: &str, kind: FaultKind) -> Self {
        Self {
            count: 0,
            ..Self::once(method, kind)
        }
    }
}

/// On which side of its effect a held request stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPoint {
    /// Before it acts.
    Before,
    /// It has acted; the answer is held.
    After,
}

/// An operation on a storage repository, as the SR lock saw it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SrOperation {
    /// Pool name.
    pub pool: String,
    /// SR name.
    pub sr: String,
    /// Such as `vdi_clone`.
    pub operation: String,
    /// Start on the simulator's clock, microseconds.
    pub started_us: u64,
    /// End on the simulator's clock, microseconds; absent while under way.
    pub ended_us: Option<u64>,
    /// How often the caller had to wait for another operation first.
    pub conflicts: u32,
}

/// Counters of the event interface of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCounters {
    /// `event.from` calls begun.
    pub calls: u64,
    /// Events delivered.
    pub events: u64,
    /// Bytes of `event.from` answers.
    pub bytes: u64,
}

/// When things became visible for a VM, in real microseconds since the simulator started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmInstants {
    /// The row appeared.
    pub created_us: Option<u64>,
    /// `power_state` became Running (latest start).
    pub running_us: Option<u64>,
    /// First usable address in `guest_metrics.networks` after the latest start.
    pub address_us: Option<u64>,
}

/// Tags, `other_config` and the like as tests pass them.
pub type StringMap = BTreeMap<String, String>;
