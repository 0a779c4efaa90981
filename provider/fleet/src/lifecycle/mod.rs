//! The life of a server: creating it as phases that each can be undone, changing its lease, removing it.
//!
//! ```text
//!            plan            a pool, a template, names resolved; nothing exists
//!              |
//!   +------> clone           exists under its birth name: a creation lease by name alone
//!   |          |
//!   |        birth           other_config, then tags and disks marked; read again: a claim on it means stop
//!   |          |
//!   |      configure         no template any more, its shape, its NIC (beside the reading)
//!   |          |
//!   |        drive           its config drive, if it is given user data: made, attached, written
//!   |          |
//!   |        start           its real name; runs
//!   |          |
//!   |       address ------>  none in time, or its ports are closed: undone, cloned again (ip_attempts)
//!   |          |        |
//!   |        finish     |    the lease replaces the creation lease; the last read is what the caller gets
//!   |          |        |
//!   |          v        |
//!   |         done      |
//!   |                   |
//!   +------ undo <------+    also after any failure since the clone: stopped, own disks and VM destroyed,
//!              |             or kept on demand or because somebody wants it, or reported as left, marked and expiring
//!              v
//!            failed
//! ```
//!
//! Whoever dies at any point leaves either nothing, or a VM whose name or marks say until when it is to be left alone.
//! Cancelled, a creation stops at the next safe point and reports what exists; it does not tidy up.

mod address;
mod birth;
mod clone;
mod configure;
mod create;
mod delete;
mod drive;
mod extend;
mod finish;
mod knock;
mod marks;
mod own;
mod plan;
mod protection;
mod reap;
mod remove;
mod reshape;
mod site;
mod size;
mod start;
mod undo;
mod update;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xenapi::{Failure, Ref, Vm};

pub(crate) use self::create::create;
pub use self::create::{CreateFailure, Progress};
pub use self::delete::DeleteReport;
pub(crate) use self::delete::delete;
pub use self::extend::{ExtendError, Extended, Extension, extend};
pub use self::knock::{Knock, Tcp};
pub(crate) use self::own::passes_for_own;
pub(crate) use self::plan::{Origin, full_copy, plan};
pub use self::reap::{Grounds, Removed};
pub(crate) use self::reshape::possible;
pub use self::site::{KeptDisk, Recheck};
pub(crate) use self::update::{Asked, update};
pub use self::update::{Renewed, UpdateFailure, Updated};

use crate::birth_name::BirthName;
use crate::error::{Error, Subject, VmName};
use crate::lease::Expires;
use crate::pool::{Fabric, Loaded, Member};
use crate::server::{AddressSource, Server, Timings};

/// What beyond the create timeout a clone may exist before it counts as left behind.
const CREATION_GRACE: Duration = Duration::from_secs(600);

/// What a creation is doing, for messages about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Looking at the pools.
    Planning,
    /// Waiting for the SR.
    Queue,
    /// Cloning or copying.
    Clone,
    /// Writing marks.
    Birth,
    /// Setting name, shape and NIC.
    Configure,
    /// Writing the config drive.
    Drive,
    /// Starting.
    Start,
    /// Waiting for an address.
    Address,
    /// Writing the lease.
    Finish,
}

/// A VM that a creation has made.
#[derive(Debug, Clone)]
struct Made {
    reference: Ref<Vm>,
    /// The records, as far as they are known; patched by what was changed since.
    loaded: Option<Loaded>,
    /// The name it was born with, which says when the creation lease ends.
    birth: BirthName,
    created_at: Timestamp,
    /// Says whether both sides carry the marks.
    is_marked: bool,
    /// The lease that was written last, or may have been.
    lease: Option<Expires>,
    timings: Timings,
    address_source: Option<AddressSource>,
}

/// Limits of time that all phases share.
#[derive(Debug, Clone)]
struct Bounds {
    deadline: Instant,
    limit: Duration,
    cancel: CancellationToken,
}

impl Bounds {
    fn new(limit: Duration, cancel: CancellationToken) -> Self {
        Self {
            deadline: Instant::now() + limit,
            limit,
            cancel,
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs a step until it ends, the time is over or the caller ends the operation.
    async fn hold<T>(
        &self,
        step: impl Future<Output = Result<T, Error>>,
        late: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled { left: None }),
            result = step => result,
            () = tokio::time::sleep_until(self.deadline) => Err(late()),
        }
    }
}

impl Made {
    fn name(&self) -> VmName {
        self.loaded.as_ref().map_or_else(VmName::unknown, Loaded::name)
    }

    /// The server as it is known, for a caller that must keep it.
    fn server(&self, fabric: &Arc<Fabric>) -> Option<Server> {
        let mut server = crate::view::server(fabric, self.loaded.as_ref()?);
        // Known before the marks say so.
        server.created_at = server.created_at.or(Some(self.created_at));
        server.timings = Some(self.timings);
        server.address_source = self.address_source;
        Some(server)
    }
}

/// Reads a VM by UUID, and beside it what the pool is, which must be the one that the caller means.
pub(crate) async fn load(
    member: &Arc<Member>,
    key: &crate::spec::ServerKey,
) -> Result<(Arc<Fabric>, Option<Arc<Loaded>>), Error> {
    let (fabric, loaded) = tokio::join!(member.fabric(), member.load(key.vm));
    let fabric = fabric?.named(&key.pool);
    same_pool(&fabric, key)?;
    Ok((fabric, loaded?))
}

/// Checks that the pool behind an entry is the one that a server was made in.
fn same_pool(fabric: &Fabric, key: &crate::spec::ServerKey) -> Result<(), Error> {
    if fabric.uuid == key.pool_uuid {
        return Ok(());
    }
    Err(Error::OtherPool {
        pool: fabric.pool.clone(),
        expected: key.pool_uuid,
        found: fabric.uuid,
    })
}

fn call<'a>(doing: &'static str, vm: &'a VmName) -> impl Fn(xenapi::Error) -> Error + 'a {
    move |cause| Error::call(doing, vm.clone(), cause)
}

/// A value that the pool rejects is the setting's fault; all else is the call's.
fn refused(pool: &str, subject: Subject, what: String, name: &VmName, cause: xenapi::Error) -> Error {
    let is_setting = |failure: &Failure| failure.is_invalid_value() || failure.code() == "MAC_INVALID";
    if !cause.is_failure(is_setting) {
        return Error::call("configuring the server", name.clone(), cause);
    }
    let said = cause.failure().map(ToString::to_string).unwrap_or_default();
    Error::Refused {
        subject,
        pool: pool.to_owned(),
        reason: format!("{what} ({said})"),
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Planning => "still looking at the pools",
            Stage::Queue => "still waiting for the storage",
            Stage::Clone => "still cloning",
            Stage::Birth => "still writing its marks",
            Stage::Configure => "still being configured",
            Stage::Drive => "still writing its config drive",
            Stage::Start => "still starting",
            Stage::Address => "still without a usable address",
            Stage::Finish => "still writing its lease",
        })
    }
}
