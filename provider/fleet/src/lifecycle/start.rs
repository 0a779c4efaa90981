//! The fifth phase: the VM starts, on the host that the pool chooses.

use tokio::time::Instant;
use xenapi::{Failure, Outcome, PowerState};

use super::plan::Plan;
use super::{Made, Stage, call};
use crate::capacity::{self, Kind};
use crate::error::{Error, VmName};

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

async fn started(plan: &Plan, made: &Made, name: &VmName) -> Result<(), Error> {
    let client = plan.member.client()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let cause = match client.vm().start(&made.reference, plan.bounds.remaining()).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        // A start that is repeated after a lost answer finds the VM running, or on its way.
        if cause
            .failure()
            .and_then(Failure::actual_power_state)
            .is_some_and(|state| state.eq_ignore_ascii_case("running"))
        {
            return Ok(());
        }
        if cause.is_failure(Failure::is_no_capacity) {
            return Err(full(plan, cause).await);
        }
        if cause.outcome() != Outcome::MaybeSent || tries == TRIES {
            return Err(Error::call("starting the server", name.clone(), cause));
        }
        let state = client
            .vm()
            .get_power_state(&made.reference)
            .await
            .map_err(call("reading the power state", name))?;
        if state == PowerState::Running {
            return Ok(());
        }
    }
}

/// The pool is full: says so with numbers, where they can be had.
async fn full(plan: &Plan, cause: xenapi::Error) -> Error {
    let os = plan.spec.image.os();
    let kind = Kind::new(&plan.template.record, plan.spec.cpus, plan.spec.memory_mib, os);
    let pools = capacity::room(&plan.member, &kind).await.into_iter().collect();
    Error::Full {
        pools,
        cause: Some(cause),
    }
}
