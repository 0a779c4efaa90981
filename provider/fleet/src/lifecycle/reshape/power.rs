//! Stopping, suspending, resuming: each is done once, and looked for when its answer was lost.

use std::sync::Arc;
use std::time::Duration;

use xenapi::{Failure, Host, Outcome, PowerState, Ref, Vm, VmRecord};

use super::super::protection::unprotect;
use super::super::site::TRIES;
use super::super::{Bounds, call};
use crate::error::{Error, VmName};
use crate::pool::Member;

/// How long a guest may take to stop by itself before it is stopped hard.
const CLEAN: Duration = Duration::from_secs(120);

/// A server whose power is changed.
pub(super) struct Guest<'a> {
    pub(super) member: &'a Arc<Member>,
    /// The pool's name, or that of a section of it.
    pub(super) pool: &'a str,
    pub(super) vm: &'a Ref<Vm>,
    pub(super) record: &'a VmRecord,
    pub(super) name: &'a VmName,
    pub(super) bounds: &'a Bounds,
}

impl Guest<'_> {
    /// Stops it: cleanly as long as that may take, then hard. A guest without an agent is stopped hard at once.
    pub(super) async fn stop(&self) -> Result<(), Error> {
        self.halt().await?;
        self.member.ledger.is_off(self.vm);
        Ok(())
    }

    async fn halt(&self) -> Result<(), Error> {
        let client = self.member.client()?;
        unprotect(client, self.vm, self.record, self.name).await?;
        // Half of the time is left for the rest.
        let patience = CLEAN.min(self.bounds.remaining() / 2);
        let cause = match client.vm().clean_shutdown(self.vm, patience).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        if shows(&cause, &PowerState::Halted) {
            return Ok(());
        }
        if cause.is_failure(|failure| failure.is_permission() || failure.is_blocked() || failure.is_gone()) {
            return Err(call("stopping the server", self.name)(cause));
        }
        tracing::info!(pool = self.pool, reason = %cause, "the guest does not stop by itself: it is stopped hard");
        let hard = || client.vm().hard_shutdown(self.vm, self.bounds.remaining());
        self.bring(&PowerState::Halted, "stopping the server", hard).await
    }

    pub(super) async fn suspend(&self) -> Result<(), Error> {
        let client = self.member.client()?;
        let ask = || client.vm().suspend(self.vm, self.bounds.remaining());
        self.bring(&PowerState::Suspended, "suspending the server", ask).await?;
        self.member.ledger.is_off(self.vm);
        Ok(())
    }

    /// Resumes it on one host, or where the pool wants; so also where the role does not allow a choice.
    pub(super) async fn resume(&self, host: Option<&Ref<Host>>) -> Result<(), Error> {
        let calls = self.member.client()?.vm();
        let doing = "resuming the server";
        if let Some(host) = host.filter(|_| self.member.may_choose_host()) {
            let ask = || calls.resume_on(self.vm, host, self.bounds.remaining());
            match self.bring(&PowerState::Running, doing, ask).await {
                Err(error) if error.is_permission() => self.member.must_not_choose_host(),
                resumed => return resumed,
            }
        }
        let ask = || calls.resume(self.vm, self.bounds.remaining());
        self.bring(&PowerState::Running, doing, ask).await
    }

    pub(super) async fn unpause(&self) -> Result<(), Error> {
        let client = self.member.client()?;
        let ask = || client.vm().unpause(self.vm, self.bounds.remaining());
        self.bring(&PowerState::Running, "letting the server go on", ask).await
    }

    /// Asks until it is so; when an answer was lost, looks first.
    async fn bring<F>(&self, to: &PowerState, doing: &'static str, ask: impl Fn() -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), xenapi::Error>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(cause) = ask().await else { return Ok(()) };
            if shows(&cause, to) {
                return Ok(());
            }
            if cause.is_failure(|failure| failure.is_no_capacity() || failure.is_other_host()) {
                return Err(Error::Full {
                    pools: Vec::new(),
                    cause: Some(cause),
                });
            }
            if cause.outcome() == Outcome::Rejected || tries == TRIES {
                return Err(call(doing, self.name)(cause));
            }
            let state = self.member.client()?.vm().get_power_state(self.vm).await;
            if state.map_err(call("reading the power state", self.name))? == *to {
                return Ok(());
            }
        }
    }
}

/// Says whether a refusal tells that the VM is in that state already.
fn shows(cause: &xenapi::Error, state: &PowerState) -> bool {
    let actual = cause.failure().and_then(Failure::actual_power_state);
    actual.is_some_and(|actual| actual.eq_ignore_ascii_case(state.as_str()))
}
