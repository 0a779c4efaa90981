//! Extending: a later end of a lease that a person asks for, whoever made the server. It never becomes an earlier one.

use std::time::Duration;

use jiff::Timestamp;
use xenapi::{Pool, Ref, Vm, VmRecord};

use super::call;
use super::finish::MARGIN;
use super::marks::{Change, Subject};
use crate::error::{Error, VmName};
use crate::lease::{Expires, Expiry, LeaseRecord, Ownership, Renewal, VmMarks, format_time};
use crate::pool::{later, marks_of, whole_seconds};

/// How much later a lease is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// So much later than now planned, or than now if that is past.
    By(Duration),
    /// At this time, by the coordinator's clock.
    Until(Timestamp),
}

/// A lease that was extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// When it would have ended.
    pub before: Timestamp,
    /// When it ends now; the same if that was asked for.
    pub until: Timestamp,
}

/// Why a lease was not extended. Nothing is changed then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExtendError {
    /// It lasts longer already.
    #[error("the lease of the VM{vm} ends at {}: an extension never makes it end earlier", format_time(*ends))]
    Earlier {
        /// The VM.
        vm: VmName,
        /// When it ends.
        ends: Timestamp,
    },
    /// The new end is past.
    #[error("the new end is past: the pool's clock shows {}", format_time(*now))]
    Past {
        /// The coordinator's clock.
        now: Timestamp,
    },
    /// It has no end that could be moved.
    #[error("the VM{vm} has no expiry: with one it would end earlier than never")]
    Unlimited {
        /// The VM.
        vm: VmName,
    },
    /// It was tried and failed, or a reaper was faster.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Makes the lease of a server end later, by the steps of every renewal. `now` is the coordinator's clock, `by` who asks for it.
///
/// # Errors
/// The VM is no server, its lease would not become longer, a reaper has claimed it, or a call failed.
pub async fn extend(
    client: &Pool,
    vm: &Ref<Vm>,
    extension: Extension,
    now: Timestamp,
    by: String,
) -> Result<Extended, ExtendError> {
    let record = read(client, vm).await?;
    let name = VmName::new(&record.name_label, record.uuid);
    let marks = marks_of(&record);
    check(client, &record, &marks, &name)?;
    let now = whole_seconds(now);
    let extended = extended(&marks, extension, now, &name)?;
    if extended.until == extended.before {
        return Ok(extended);
    }
    let start = marks.lease_record().map_or(now, |record| record.start);
    let ttl_seconds = extended.until.as_second().saturating_sub(start.as_second());
    let subject = Subject {
        client,
        pool: client.name(),
        vm,
        name,
        record: LeaseRecord {
            start,
            ttl_seconds: u64::try_from(ttl_seconds).unwrap_or_default(),
            by,
        },
    };
    // As long as nobody may claim the VM; else it goes when the lease is acknowledged.
    let superseded = match marks.expiry() {
        Expiry::Creating(until) => Some(until).filter(|until| *until > later(now, MARGIN)),
        Expiry::Lease(_) | Expiry::Never => None,
    };
    let renewal = Renewal::new(Expires::minted(extended.until, now), &marks);
    subject.change(Change::Renew(renewal), record, superseded).await?;
    Ok(extended)
}

async fn read(client: &Pool, vm: &Ref<Vm>) -> Result<VmRecord, Error> {
    match client.vm().record(vm).await {
        Ok(record) => Ok(record),
        Err(cause) if cause.is_gone_object(vm) => Err(Error::Gone {
            pool: client.name().to_owned(),
            vm: VmName::unknown(),
        }),
        Err(cause) => Err(call("reading the lease", &VmName::unknown())(cause)),
    }
}

/// Only a server has a lease, and one that is claimed has none left.
fn check(client: &Pool, record: &VmRecord, marks: &VmMarks, name: &VmName) -> Result<(), Error> {
    let why = if record.is_a_template || record.is_a_snapshot || record.is_control_domain {
        Some("is a template, a snapshot or a control domain".to_owned())
    } else {
        match marks.ownership() {
            Ownership::Managed => None,
            Ownership::Unmarked => Some("is no server of dynvm".to_owned()),
            Ownership::Foreign { of } => Some(format!("carries the mark of another VM ({of}) and not its own")),
            Ownership::Uncertain { why } => Some(format!("is not surely a server: {why}")),
        }
    };
    let (pool, vm) = (client.name().to_owned(), name.clone());
    match why {
        Some(why) => Err(Error::NotOurs { pool, vm, why }),
        None if !marks.claims().is_empty() => Err(Error::BeingReaped { pool, vm }),
        None => Ok(()),
    }
}

fn extended(marks: &VmMarks, extension: Extension, now: Timestamp, vm: &VmName) -> Result<Extended, ExtendError> {
    let vm = vm.clone();
    let ends = match marks.expiry() {
        Expiry::Lease(expires) => expires.at,
        Expiry::Creating(until) => until,
        Expiry::Never => return Err(ExtendError::Unlimited { vm }),
    };
    let until = match extension {
        Extension::By(longer) => later(ends.max(now), longer),
        Extension::Until(until) => until,
    };
    let until = whole_seconds(until);
    if until < ends {
        Err(ExtendError::Earlier { vm, ends })
    } else if until <= now {
        Err(ExtendError::Past { now })
    } else {
        Ok(Extended { before: ends, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const ENDS: &str = "2026-11-20T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn marks(key: &str) -> VmMarks {
        VmMarks::read(&VM.parse().unwrap(), [], [("dynvm:vm", VM), (key, "")])
    }

    #[track_caller]
    fn check(key: &str, extension: Extension, now: &str, expect: &str) {
        let shown = match extended(&marks(key), extension, at(now), &VmName::unknown()) {
            Ok(extended) => format!("{} to {}", extended.before, extended.until),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expect), "{shown:?} is not {expect:?}");
    }

    #[test]
    fn an_extension_counts_from_the_end_or_from_now_and_never_backwards() {
        let lease = format!("dynvm:expires={ENDS}/01JD4Q8QCGTF0000000000000A");
        let (before, after) = ("2026-11-20T08:00:00Z", "2026-11-20T12:00:00Z");
        let hours = Extension::By(Duration::from_secs(4 * 3600));
        let until = |text: &str| Extension::Until(at(text));
        check(&lease, hours, before, "2026-11-20T10:00:00Z to 2026-11-20T14:00:00Z");
        check(&lease, hours, after, "2026-11-20T10:00:00Z to 2026-11-20T16:00:00Z");
        check(
            &lease,
            until("2026-11-20T11:00:00.9Z"),
            before,
            "to 2026-11-20T11:00:00Z",
        );
        check(&lease, until(ENDS), before, "to 2026-11-20T10:00:00Z");
        check(
            &lease,
            until("2026-11-20T09:59:59Z"),
            before,
            "never makes it end earlier",
        );
        check(
            &lease,
            until("2026-11-20T11:00:00Z"),
            after,
            "shows 2026-11-20T12:00:00Z",
        );
        check(&lease, Extension::By(Duration::MAX), before, "to 9999-12-30T22:00:00Z");
        let creating = format!("dynvm:creating={ENDS}");
        check(&creating, hours, before, "2026-11-20T10:00:00Z to 2026-11-20T14:00:00Z");
        check("other", hours, before, "has no expiry");
    }
}
