//! The fifth phase: the VM starts, on the host that was chosen for it, or on the next one if that refuses.
//!
//! `VM.start_on` names the reason of a refusal, and leaves no choice to the pool: so what was placed evenly runs evenly. It needs
//! vm-power-admin; with less the pool chooses a host by itself (`VM.start`).

use tokio::time::Instant;
use xenapi::{Failure, Host, Outcome, PowerState, Ref};

use super::plan::Plan;
use super::{Made, Stage, call};
use crate::capacity::{self, PoolCapacity};
use crate::error::{Error, VmName};
use crate::inventory::Freshness;
use crate::placement::other_hosts;

/// How often a start whose answer was lost is asked for again: the pool refuses to start what runs.
const TRIES: u32 = 3;

/// Starts the VM; says how many seconds that took.
pub(super) async fn start(plan: &Plan, made: &Made) -> Result<f64, Error> {
    let begun = Instant::now();
    let name = made.name();
    let steps = started(plan, made, &name);
    plan.bounds
        .hold(steps, || plan.late(Stage::Start, name.clone()))
        .await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Tries the chosen host, then the others that have room, the least loaded first.
async fn started(plan: &Plan, made: &Made, name: &VmName) -> Result<(), Error> {
    let mut tried = Vec::new();
    loop {
        let host = plan.place.host().filter(|_| plan.member.may_choose_host());
        let cause = match started_on(plan, made, host.as_ref(), name).await? {
            Start::Runs => return Ok(()),
            Start::Refused(cause) => cause,
        };
        if host.is_some() && cause.is_failure(Failure::is_permission) {
            plan.member.must_not_choose_host();
            plan.place.moves_to(None);
            continue;
        }
        if !cause.is_failure(|failure| failure.is_other_host() || failure.is_no_capacity()) {
            return Err(Error::call("starting the server", name.clone(), cause));
        }
        let Some(refusing) = host else {
            return Err(full(plan, cause).await);
        };
        tracing::info!(pool = plan.member.name(), reason = %cause, "the host refuses the server: the next one is tried");
        tried.push(refusing);
        match other_hosts(&plan.member, &plan.kind, &tried).await?.into_iter().next() {
            Some(next) => plan.place.moves_to(Some(next)),
            None => return Err(full(plan, cause).await),
        }
    }
}

enum Start {
    Runs,
    /// The pool said no, and did nothing.
    Refused(xenapi::Error),
}

/// Starts it on one host, or where the pool wants; a start whose answer was lost is looked for first.
async fn started_on(plan: &Plan, made: &Made, host: Option<&Ref<Host>>, name: &VmName) -> Result<Start, Error> {
    let client = plan.member.client()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let limit = plan.bounds.remaining();
        let asked = match host {
            Some(host) => client.vm().start_on(&made.reference, host, limit).await,
            None => client.vm().start(&made.reference, limit).await,
        };
        let Err(cause) = asked else { return Ok(Start::Runs) };
        // A start that is repeated after a lost answer finds the VM running, or on its way.
        if is_running_already(&cause) {
            return Ok(Start::Runs);
        }
        if cause.outcome() != Outcome::MaybeSent || tries == TRIES {
            return Ok(Start::Refused(cause));
        }
        let state = client
            .vm()
            .get_power_state(&made.reference)
            .await
            .map_err(call("reading the power state", name))?;
        if state == PowerState::Running {
            return Ok(Start::Runs);
        }
    }
}

fn is_running_already(cause: &xenapi::Error) -> bool {
    let actual = cause.failure().and_then(Failure::actual_power_state);
    actual.is_some_and(|state| state.eq_ignore_ascii_case("running"))
}

/// The pool is full: says so with numbers, where they can be had.
async fn full(plan: &Plan, cause: xenapi::Error) -> Error {
    let room = capacity::room(&plan.member, &plan.kind, Freshness::Seen).await;
    let pools = room.map(|room| PoolCapacity::new(plan.member.name(), &room, &plan.kind.need));
    Error::Full {
        pools: pools.into_iter().collect(),
        cause: Some(cause),
    }
}
