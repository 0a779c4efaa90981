//! The sixth phase: the VM starts, on the host that was chosen for it, or on the next one if that refuses.
//!
//! `VM.start_on` names the reason of a refusal, and leaves no choice to the pool: so what was placed evenly runs evenly. It needs
//! vm-power-admin; with less the pool chooses a host by itself (`VM.start`).

use std::sync::Arc;

use tokio::time::Instant;
use xenapi::{Failure, Host, Outcome, PowerState, Ref, Vm};

use super::plan::Plan;
use super::{Bounds, Made, Stage, call};
use crate::capacity::{self, Kind, PoolCapacity};
use crate::error::{Error, VmName};
use crate::inventory::Freshness;
use crate::placement::other_hosts;
use crate::pool::{Member, Place};

/// How often a start whose answer was lost is asked for again: the pool refuses to start what runs.
const TRIES: u32 = 3;

/// A VM that is to be started.
pub(super) struct Starting<'a> {
    pub(super) member: &'a Arc<Member>,
    /// The pool's name, or that of a section of it.
    pub(super) pool: &'a str,
    pub(super) vm: &'a Ref<Vm>,
    pub(super) name: &'a VmName,
    pub(super) kind: &'a Kind,
    /// The place that is held for it; names another host once the first has refused.
    pub(super) place: &'a Place,
    pub(super) bounds: &'a Bounds,
}

/// Starts a new server; says how many seconds that took.
pub(super) async fn start(plan: &Plan, made: &Made) -> Result<f64, Error> {
    let begun = Instant::now();
    let name = made.name();
    let starting = Starting {
        member: &plan.member,
        pool: plan.pool(),
        vm: &made.reference,
        name: &name,
        kind: &plan.kind,
        place: &plan.place,
        bounds: &plan.bounds,
    };
    let steps = starting.run();
    plan.bounds
        .hold(steps, || plan.late(Stage::Start, name.clone()))
        .await?;
    Ok(begun.elapsed().as_secs_f64())
}

enum Start {
    Runs,
    /// The pool said no, and did nothing.
    Refused(xenapi::Error),
}

impl Starting<'_> {
    /// Tries the chosen host, then the others that have room, the least loaded first.
    pub(super) async fn run(&self) -> Result<(), Error> {
        let mut tried = Vec::new();
        loop {
            let host = self.place.host().filter(|_| self.member.may_choose_host());
            let cause = match self.on(host.as_ref()).await? {
                Start::Runs => return Ok(()),
                Start::Refused(cause) => cause,
            };
            if host.is_some() && cause.is_failure(Failure::is_permission) {
                self.member.must_not_choose_host();
                self.place.moves_to(None);
                continue;
            }
            if !cause.is_failure(|failure| failure.is_other_host() || failure.is_no_capacity()) {
                return Err(Error::call("starting the server", self.name.clone(), cause));
            }
            let Some(refusing) = host else {
                return Err(self.full(cause).await);
            };
            tracing::info!(pool = self.pool, reason = %cause, "the host refuses the server: the next one is tried");
            tried.push(refusing);
            match other_hosts(self.member, self.kind, &tried).await?.into_iter().next() {
                Some(next) => self.place.moves_to(Some(next)),
                None => return Err(self.full(cause).await),
            }
        }
    }

    /// Starts it on one host, or where the pool wants; a start whose answer was lost is looked for first.
    async fn on(&self, host: Option<&Ref<Host>>) -> Result<Start, Error> {
        let client = self.member.client()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let limit = self.bounds.remaining();
            let asked = match host {
                Some(host) => client.vm().start_on(self.vm, host, limit).await,
                None => client.vm().start(self.vm, limit).await,
            };
            let Err(cause) = asked else { return Ok(Start::Runs) };
            // A start that is repeated after a lost answer finds the VM running, or on its way.
            if is_running_already(&cause) {
                return Ok(Start::Runs);
            }
            if cause.outcome() != Outcome::MaybeSent || tries == TRIES {
                return Ok(Start::Refused(cause));
            }
            let state = client.vm().get_power_state(self.vm).await;
            if state.map_err(call("reading the power state", self.name))? == PowerState::Running {
                return Ok(Start::Runs);
            }
        }
    }

    /// The pool is full: says so with numbers, where they can be had.
    async fn full(&self, cause: xenapi::Error) -> Error {
        let room = capacity::room(self.member, self.kind, Freshness::OwnWrites).await;
        let pools = room.map(|room| PoolCapacity::new(self.pool, &room, &self.kind.need));
        Error::Full {
            pools: pools.into_iter().collect(),
            cause: Some(cause),
        }
    }
}

fn is_running_already(cause: &xenapi::Error) -> bool {
    let actual = cause.failure().and_then(Failure::actual_power_state);
    actual.is_some_and(|state| state.eq_ignore_ascii_case("running"))
}
