//! What goes wrong, where, and what to do about it.
//!
//! `Display` says what happened and where; [`Error::title`] is the short form, [`Error::hint`] what to do, and
//! [`Error::subject`] which setting is at fault. Texts never hold secrets.

mod advice;
mod subject;
mod vm_name;
mod words;

use std::time::Duration;

use jiff::Timestamp;
use xenapi::Uuid;

use crate::address::Missed;
use crate::capacity::PoolCapacity;
use crate::choices::Choices;
use crate::lifecycle::Stage;
use crate::server::Named;

pub use self::subject::{ConnectionField, Subject, What};
pub use self::vm_name::VmName;
use self::words::{labels, lacking, left_over, parts, past, room, seconds, uuids, why};

/// A failure of the fleet.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No pool is configured.
    #[error("no pool is configured")]
    NoPools,
    /// A pool's name that is not configured.
    #[error("no pool called {wanted:?} is configured. {there}")]
    UnknownPool {
        /// The name that was given.
        wanted: String,
        /// The names that there are.
        there: Choices,
    },
    /// Two entries are one pool.
    #[error("the entries {first:?} and {second:?} lead to one and the same pool ({uuid})")]
    SamePool {
        /// The entry that was used first.
        first: String,
        /// The other one.
        second: String,
        /// The pool's own UUID.
        uuid: Uuid,
    },
    /// Behind a pool's address is another pool than the one that a server was made in.
    #[error("behind the address of pool {pool:?} is the pool {found}, not {expected}, in which the server was made")]
    OtherPool {
        /// The entry's name.
        pool: String,
        /// The UUID in the state.
        expected: Uuid,
        /// The UUID that the pool names.
        found: Uuid,
    },
    /// No pool has a template for an alias.
    #[error("no pool has a template for the os {os:?}. {there}")]
    UnknownOs {
        /// The alias.
        os: String,
        /// The aliases that there are.
        there: Choices,
    },
    /// No pool is meant for servers with such labels.
    #[error("{}", labels(.asked, .pool, .there))]
    Labels {
        /// The labels that were asked for.
        asked: std::collections::BTreeSet<String>,
        /// The pool that was asked for.
        pool: Option<String>,
        /// The labels that there are.
        there: Choices,
    },
    /// Nothing has that name.
    #[error("pool {pool:?} has no {what} {wanted:?}. {there}")]
    Missing {
        /// What was looked for.
        what: What,
        /// The name or UUID that was given.
        wanted: String,
        /// The pool.
        pool: String,
        /// What there is.
        there: Choices,
    },
    /// Several things have that name.
    #[error("pool {pool:?} has {} {what}s called {wanted:?}: {}", .matches.len(), uuids(.matches))]
    Ambiguous {
        /// What was looked for.
        what: What,
        /// The name that was given.
        wanted: String,
        /// The pool, or the pools.
        pool: String,
        /// Those that there are.
        matches: Vec<Named>,
    },
    /// None of the pools can take the server, each for its own reason.
    #[error("no pool can take the server: {}", why(.reasons))]
    NoPoolFits {
        /// Pool and reason.
        reasons: Vec<(String, Box<Error>)>,
    },
    /// A reservation that was changed in some of its pools only.
    #[error("{error}. What was changed before could not be changed back ({left}): it holds {}", parts(.held))]
    ChangedInPart {
        /// Why it was not changed as a whole.
        error: Box<Error>,
        /// Why a part of it was not changed back.
        left: Box<Error>,
        /// Pools, for how many servers each holds room, and until when.
        held: Vec<(String, u32, Timestamp)>,
    },
    /// There is no room.
    #[error("no room for the server: {}", room(.pools, .cause))]
    Full {
        /// What the pools have.
        pools: Vec<PoolCapacity>,
        /// What the pool said, when it was the pool that refused.
        cause: Option<xenapi::Error>,
    },
    /// A pool's events are lost time and again.
    #[error("the pool {pool:?} cannot be looked at: its events are lost time and again while it is read")]
    Unsteady {
        /// The pool.
        pool: String,
    },
    /// A reservation cannot be drawn from.
    #[error("the reservation {id} {why}")]
    Reservation {
        /// Its id.
        id: String,
        /// What is the matter with it.
        why: &'static str,
    },
    /// The user may not do what it takes.
    #[error("the user of pool {pool:?} lacks the role {role}: {what}")]
    RoleLacks {
        /// The pool.
        pool: String,
        /// The role that suffices.
        role: &'static str,
        /// What needs it.
        what: &'static str,
    },
    /// A ticket did not stay.
    #[error("no ticket stays in the other_config of pool {pool:?}: another tool keeps writing it back as a whole")]
    TicketLost {
        /// The pool.
        pool: String,
    },
    /// A setting does not fit the template or the pool.
    #[error("{reason}, in pool {pool:?}")]
    Refused {
        /// The setting.
        subject: Subject,
        /// The pool.
        pool: String,
        /// Why.
        reason: String,
    },
    /// A call failed.
    #[error("{doing}{vm} failed: {cause}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// The VM concerned.
        vm: VmName,
        /// What the pool said, or what became of the connection.
        cause: xenapi::Error,
    },
    /// The clone was asked for, and neither an answer nor the VM was seen.
    #[error("the clone {birth_name:?} in pool {pool:?} was asked for, and it is unknown whether it was made: {cause}")]
    CloneUnknown {
        /// The pool.
        pool: String,
        /// The name under which it was asked for.
        birth_name: String,
        /// What became of the connection.
        cause: xenapi::Error,
    },
    /// A step of creating did not end in time.
    #[error("creating{vm} in pool {pool:?} took longer than {} ({stage})", seconds(.limit))]
    CreateTimeout {
        /// The pool.
        pool: String,
        /// The VM, if there is one.
        vm: VmName,
        /// How long it may take.
        limit: Duration,
        /// What it was doing.
        stage: Stage,
    },
    /// A deletion or a change did not end in time.
    #[error("{doing}{vm} in pool {pool:?} took longer than {} ({status})", seconds(.limit))]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// How long it may take.
        limit: Duration,
        /// The last that was seen.
        status: &'static str,
    },
    /// No clone got a usable address, or the ports that were asked for stayed closed.
    #[error("{} within {} after {attempts} clone(s) in pool {pool:?}: {missed}; {seen}", lacking(*.missed), seconds(.limit))]
    NoAddress {
        /// The pool.
        pool: String,
        /// How many clones were made.
        attempts: u32,
        /// How long each may take.
        limit: Duration,
        /// The stage that was missed.
        missed: Missed,
        /// The last addresses seen, or that there were none.
        seen: String,
    },
    /// The VM stopped running while its address was awaited.
    #[error("the VM{vm} in pool {pool:?} is {state} while its address is awaited")]
    Stopped {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// What it is doing now.
        state: String,
    },
    /// A reaper has claimed the VM.
    #[error("the VM{vm} in pool {pool:?} is being reaped: its lease is over and a reaper has claimed it")]
    BeingReaped {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
    },
    /// Somebody else extended a lease that was to be shortened.
    #[error("the lease of the VM{vm} in pool {pool:?} was extended elsewhere at the same time")]
    ExtendedElsewhere {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
    },
    /// A change of a lease failed, and so did taking back the mark that it had put there.
    #[error("{error}; its own mark {mark} could not be taken back, and counts where it stands still: {cause}")]
    NotTakenBack {
        /// The failure.
        error: Box<Error>,
        /// The mark, as a tag and as a key.
        mark: String,
        /// Why it was not taken back.
        cause: Box<Error>,
    },
    /// A foreign tool keeps writing the marks back.
    #[error("the marks of the VM{vm} in pool {pool:?} are written back by another tool again and again")]
    MarksContested {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
    },
    /// The changed ttl is over already.
    #[error("the lease of the VM{vm} would have ended at {}, which is past by the pool's clock", past(.at))]
    TtlPast {
        /// The VM.
        vm: VmName,
        /// When it would have ended.
        at: Timestamp,
    },
    /// A ttl beyond the longest allowed.
    #[error("a ttl of {} is longer than max_ttl, {}", seconds(.ttl), seconds(.max))]
    TtlTooLong {
        /// The ttl.
        ttl: Duration,
        /// The longest.
        max: Duration,
    },
    /// A VM that is not what the caller takes it for.
    #[error("the VM{vm} in pool {pool:?} {why}; nothing was changed")]
    NotOurs {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// What it is instead.
        why: String,
    },
    /// The VM is gone.
    #[error("the VM{vm} is not in pool {pool:?} any more")]
    Gone {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
    },
    /// What a claim was held for has changed while the VM was being removed.
    #[error("the removal of the VM{vm} in pool {pool:?} was stopped half-way: {why}")]
    NoLongerDue {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// What has changed.
        why: String,
    },
    /// Somebody wants a VM that was to be removed because its creation had failed.
    #[error("the VM{vm} in pool {pool:?} is left as it is: {why} while it was being made")]
    Promised {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// What somebody did.
        why: String,
    },
    /// A disk of the server is held by somebody.
    #[error("disk {disk} of the VM{vm} in pool {pool:?} {why}; the VM is kept")]
    DiskHeld {
        /// The pool.
        pool: String,
        /// The VM.
        vm: VmName,
        /// The disk.
        disk: Uuid,
        /// Who holds it.
        why: String,
    },
    /// The caller ended the operation.
    #[error("cancelled{}", left_over(.left))]
    Cancelled {
        /// The VM that exists all the same.
        left: Option<VmName>,
    },
    /// The caller ended a creation before its clone was answered.
    #[error("cancelled while the clone {birth_name:?} in pool {pool:?} was being made")]
    CloneGivenUp {
        /// The pool.
        pool: String,
        /// The name that the clone has, if it comes to be.
        birth_name: String,
    },
    /// An operation failed, and so did the removal of what it had made.
    #[error("{error}; what had been made{vm} was not removed: {undo}")]
    NotUndone {
        /// The failure.
        error: Box<Error>,
        /// The VM that exists still.
        vm: VmName,
        /// Why it could not be removed.
        undo: Box<Error>,
    },
    /// A server was stopped for another size, which the pool refused; it is as it was before.
    #[error("{error}; the VM{vm} was stopped for it, and runs again with the size that it had")]
    PutBack {
        /// The refusal.
        error: Box<Error>,
        /// The VM.
        vm: VmName,
    },
    /// A server was stopped for another size, which the pool refused, and it could not be made what it was before.
    #[error("{error}; the VM{vm} was stopped for it, and could not be put back: {undo}")]
    NotPutBack {
        /// The refusal.
        error: Box<Error>,
        /// The VM.
        vm: VmName,
        /// Why it is not as it was before.
        undo: Box<Error>,
    },
    /// An operation failed, and what it had made is kept on demand.
    #[error("{error}; the VM{vm} is kept, as keep_on_failure asks")]
    Kept {
        /// The failure.
        error: Box<Error>,
        /// The VM.
        vm: VmName,
    },
}

impl Error {
    /// The same about a pool that is called by another name here.
    pub(crate) fn in_pool(mut self, name: &str) -> Self {
        if let Error::Missing { pool, .. } | Error::Ambiguous { pool, .. } = &mut self {
            name.clone_into(pool);
        }
        self
    }

    pub(crate) fn call(doing: &'static str, vm: VmName, cause: xenapi::Error) -> Self {
        Error::Call { doing, vm, cause }
    }

    /// Says whether a pool may answer otherwise a little later, without anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        let of_call = matches!(self, Error::Call { cause, .. } if cause.is_retryable());
        let of_reasons =
            matches!(self, Error::NoPoolFits { reasons } if reasons.iter().any(|(_, reason)| reason.is_passing()));
        of_call || of_reasons || matches!(self, Error::Unsteady { .. } | Error::TicketLost { .. })
    }

    /// Says whether the pool refused a call because of the user's role.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Error::Call { cause, .. } if cause.is_failure(xenapi::Failure::is_permission))
    }

    /// Says whether the caller ended the operation.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Cancelled { .. } | Error::CloneGivenUp { .. })
    }
}
