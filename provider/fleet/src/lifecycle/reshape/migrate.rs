//! Moving a running server to another host of its pool, live.

use xenapi::{Failure, Host, Outcome, Ref};

use super::super::call;
use super::super::site::TRIES;
use super::power::Guest;
use crate::error::{Error, Subject};

impl Guest<'_> {
    /// Moves it. What became of a move whose answer was lost, or that the pool calls failed, stands on the VM.
    pub(super) async fn move_to(&self, host: &Ref<Host>) -> Result<(), Error> {
        let calls = self.member.client()?.vm();
        let mut tries = 0;
        loop {
            tries += 1;
            let moved = calls.pool_migrate(self.vm, host, self.bounds.remaining()).await;
            let Err(cause) = moved else { return Ok(()) };
            let may_have_moved = cause.outcome() != Outcome::Rejected || cause.is_failure(has_failed_midway);
            if !may_have_moved {
                return Err(self.not_moved(cause));
            }
            let record = calls.record(self.vm).await;
            let record = record.map_err(call("reading where the server runs", self.name))?;
            if record.resident_on == *host {
                return Ok(());
            }
            if tries == TRIES {
                return Err(self.not_moved(cause));
            }
        }
    }

    fn not_moved(&self, cause: xenapi::Error) -> Error {
        if cause.is_failure(Failure::is_permission) {
            return Error::RoleLacks {
                pool: self.pool.to_owned(),
                role: "vm-power-admin",
                what: "a server is moved to another host by a live migration",
            };
        }
        if !cause.is_failure(|failure| failure.is_other_host() || failure.is_no_capacity()) {
            return call("moving the server", self.name)(cause);
        }
        let said = cause.failure().map(ToString::to_string).unwrap_or_default();
        Error::Refused {
            subject: Subject::Host,
            pool: self.pool.to_owned(),
            reason: format!("the host does not take the server ({said}); it runs where it was"),
        }
    }
}

fn has_failed_midway(failure: &Failure) -> bool {
    failure.code() == "VM_MIGRATE_FAILED"
}
