//! A XenAPI client: transport, sessions, failures with outcomes, tasks and events, typed records.
//!
//! A [`Pool`] is one XenAPI endpoint, a standalone host or a resource pool. It logs in when first needed, keeps one session and one
//! long poll, follows the coordinator, and repeats what may be repeated. Every error says whether the pool may have acted
//! ([`Outcome`]); what the pool answered is asked by predicate ([`Failure`]).
//!
//! What is absent on purpose: decisions about servers, waiting for guests, and anything of Terraform. Only `wire` knows JSON and XML.

mod calls;
mod counters;
mod endpoint;
mod error;
mod event;
mod failure;
mod fifo;
mod listing;
mod login;
mod pool;
mod query;
mod record;
mod reference;
mod retry;
mod secret;
mod session;
mod task;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod uuid;
mod wire;

pub use self::calls::{MemoryLimits, NewVbd, NewVdi, NewVif, Objects, Rights, Template};
pub use self::counters::{Counters, Tally};
pub use self::endpoint::{Endpoint, EndpointError, Scheme};
pub use self::error::{Error, ErrorKind, Outcome};
pub use self::event::{
    Change, ChangeOp, Delta, EventClass, Haste, Hurry, Interest, Loss, Notice, Snapshot, Subscription, Token, Watcher,
};
pub use self::failure::Failure;
pub use self::fifo::{Fifo, FifoGuard};
pub use self::listing::{decode_events, decode_listing};
pub use self::pool::{Limits, Pool, PoolConfig};
pub use self::query::{Filter, UnquotableLiteral};
pub use self::record::{
    Class, DecodeError, DomainType, GuestMetrics, GuestMetricsRecord, Host, HostMetrics, HostMetricsRecord, HostRecord,
    Network, NetworkRecord, Pbd, PbdRecord, Pif, PifRecord, PoolObject, PoolRecord, PowerState, Record, Sr, SrRecord,
    Task, TaskRecord, TaskStatus, TextMap, Vbd, VbdMode, VbdRecord, VbdType, Vdi, VdiRecord, VdiType, Vif, VifRecord,
    Vm, VmMetrics, VmMetricsRecord, VmRecord,
};
pub use self::reference::Ref;
pub use self::secret::Secret;
pub use self::tls::{CaPem, Fingerprint, TlsError, TlsTrust};
pub use self::uuid::{InvalidUuid, Uuid};
pub use self::wire::{Wire, WireChoice};
