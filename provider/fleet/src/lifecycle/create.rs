//! Creating: the phases in their order, and what happens when one fails.

use std::time::Duration;

use futures::future::{join, try_join};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use xenapi::PowerState;

use super::plan::Plan;
use super::remove::reload;
use super::{Bounds, Made, address, birth, clone, configure, drive, finish, start, undo};
use crate::error::{Error, VmName};
use crate::server::Server;

/// Less than this is too little for another clone to be worth it.
const WORTH_ANOTHER: Duration = Duration::from_secs(5);

/// How long the look at a server takes that could not be removed.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A creation that failed.
#[derive(Debug, Clone)]
pub struct CreateFailure {
    /// Why.
    pub error: Error,
    /// The server, if it exists still: to be kept in state, tainted.
    pub left: Option<Server>,
}

/// What a creation tells on its way.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The server exists, as far as it is made.
    Exists(Server),
    /// An attempt failed, and every trace of it is gone. Another may follow.
    Undone {
        /// The server as it was known last.
        server: Server,
        /// How long its removal took.
        took: Duration,
    },
}

/// Makes a server; `steps` hears of it as soon as it is there.
pub(crate) async fn create(plan: Plan, steps: &UnboundedSender<Progress>) -> Result<Server, CreateFailure> {
    let made = attempts(&plan, steps).await;
    // A cancelled creation waits for nothing any more: its ticket goes with the plan.
    if !plan.bounds.cancel.is_cancelled() {
        plan.release().await;
    }
    made
}

async fn attempts(plan: &Plan, steps: &UnboundedSender<Progress>) -> Result<Server, CreateFailure> {
    let attempts = plan.spec.ip_attempts.max(1);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut made = None;
        let error = match phases(plan, &mut made, steps).await {
            Ok(server) => return Ok(server),
            Err(error) => counted(error, attempt),
        };
        let Some(made) = made else {
            return Err(CreateFailure { error, left: None });
        };
        let is_worth_another = plan.bounds.remaining() > WORTH_ANOTHER;
        let again = matches!(error, Error::NoAddress { .. }) && attempt < attempts && is_worth_another;
        if !again {
            return Err(ended(plan, made, error, steps).await);
        }
        tracing::info!(pool = plan.member.name(), attempt, "not ready in time: cloning again");
        if let Err(undone) = undo(plan, &made, steps).await {
            return Err(not_undone(plan, made, error, undone).await);
        }
    }
}

async fn phases(plan: &Plan, made: &mut Option<Made>, steps: &UnboundedSender<Progress>) -> Result<Server, Error> {
    let gone = || Error::Gone {
        pool: plan.pool().to_owned(),
        vm: VmName::unknown(),
    };
    clone::clone(plan, made).await?;
    let made = made.as_mut().ok_or_else(gone)?;
    let exists = |made: &Made| tell(steps, made.server(&plan.fabric).map(Progress::Exists));
    born(plan, made).await?;
    exists(made);
    drive::drive(plan, made).await?;
    begun(plan, made).await?;
    exists(made);
    if plan.spec.is_started && plan.spec.wait.for_ip {
        address::address(plan, made).await?;
    }
    // It runs: the ticket holds nothing for it any more.
    let (finished, ()) = join(finish::finish(plan, &plan.bounds, made), plan.release()).await;
    finished?;
    plan.member.wrote();
    let wait = &plan.spec.wait;
    let mut server = made.server(&plan.fabric).ok_or_else(gone)?;
    server.ip_address = server.address_for(wait.family, &wait.cidrs, None);
    Ok(server)
}

/// Marks the clone and gives it its shape. That may change while the marks are confirmed; nothing is named or started before
/// they are.
async fn born(plan: &Plan, made: &mut Made) -> Result<(), Error> {
    let begun = Instant::now();
    birth::birth(plan, made).await?;
    let (record, nic) = try_join(birth::confirm(plan, made), configure::configure(plan, made)).await?;
    if let Some(loaded) = &mut made.loaded {
        loaded.vm = record;
        if let Some(nic) = nic {
            nic.put(loaded);
        }
    }
    made.is_marked = true;
    made.timings.configure = begun.elapsed().as_secs_f64();
    Ok(())
}

/// Starts it under its real name, unless it is to stay halted. The name is set long before the start is done; both are waited for: what is undone must not
/// be starting.
async fn begun(plan: &Plan, made: &mut Made) -> Result<(), Error> {
    let power_state = if plan.spec.is_started {
        let (started, named) = join(start::start(plan, made), configure::rename(plan, made)).await;
        made.timings.start = started?;
        named?;
        PowerState::Running
    } else {
        configure::rename(plan, made).await?;
        plan.place.stays_halted();
        PowerState::Halted
    };
    if let Some(loaded) = &mut made.loaded {
        loaded.vm.name_label = plan.spec.name.clone();
        loaded.vm.power_state = power_state;
    }
    Ok(())
}

/// Tells of a step, if it made anything that can be told of.
fn tell(steps: &UnboundedSender<Progress>, step: Option<Progress>) {
    // Nobody listens any more where the send fails.
    let _ = step.map(|step| steps.send(step).is_ok());
}

/// Undoes an attempt, and tells of it.
async fn undo(plan: &Plan, made: &Made, steps: &UnboundedSender<Progress>) -> Result<(), Error> {
    let begun = Instant::now();
    undo::undo(plan, made).await?;
    plan.place.has_no_vm();
    let took = begun.elapsed();
    let undone = made.server(&plan.fabric);
    tell(steps, undone.map(|server| Progress::Undone { server, took }));
    Ok(())
}

/// What becomes of a VM whose creation failed.
async fn ended(plan: &Plan, mut made: Made, error: Error, steps: &UnboundedSender<Progress>) -> CreateFailure {
    plan.member.wrote();
    match &error {
        // No tidying up for seconds: what exists is reported, and under its creation lease.
        Error::Cancelled { .. } => {
            let left = made.server(&plan.fabric);
            return CreateFailure {
                error: Error::Cancelled {
                    left: Some(made.name()),
                },
                left,
            };
        }
        // The reaper's from now on.
        Error::BeingReaped { .. } | Error::NotTakenBack { .. } => {
            return CreateFailure {
                left: made.server(&plan.fabric),
                error,
            };
        }
        _ => {}
    }
    if plan.spec.keep_on_failure && made.is_marked && !matches!(error, Error::Gone { .. }) {
        return kept(plan, &mut made, error).await;
    }
    match undo(plan, &made, steps).await {
        Ok(()) => CreateFailure { error, left: None },
        Err(undone) => not_undone(plan, made, error, undone).await,
    }
}

/// Keeps a failed server with its full ttl, so that a person can look at it.
async fn kept(plan: &Plan, made: &mut Made, error: Error) -> CreateFailure {
    let vm = made.name();
    let bounds = Bounds::new(undo::PATIENCE, plan.bounds.cancel.clone());
    if let Err(finish) = finish::finish(plan, &bounds, made).await {
        tracing::warn!(pool = plan.member.name(), error = %finish, "the kept server has no lease but that of its creation");
    }
    CreateFailure {
        error: Error::Kept {
            error: Box::new(error),
            vm,
        },
        left: made.server(&plan.fabric),
    }
}

async fn not_undone(plan: &Plan, mut made: Made, error: Error, undo: Error) -> CreateFailure {
    let is_wanted = matches!(undo, Error::Promised { .. } | Error::NoLongerDue { .. });
    if let Ok(client) = plan.member.client()
        && (made.loaded.is_none() || is_wanted)
    {
        // What nobody has seen yet cannot be kept in state, and what somebody wrote on it belongs there: one short look.
        let look = tokio::time::timeout(LAST_LOOK, reload(client, &made.reference)).await;
        made.loaded = look.ok().and_then(Result::ok).flatten().or(made.loaded);
    }
    CreateFailure {
        error: Error::NotUndone {
            error: Box::new(error),
            vm: made.name(),
            undo: Box::new(undo),
        },
        left: made.server(&plan.fabric),
    }
}

fn counted(error: Error, attempt: u32) -> Error {
    match error {
        Error::NoAddress {
            pool,
            attempts: _,
            limit,
            missed,
            seen,
        } => Error::NoAddress {
            pool,
            attempts: attempt,
            limit,
            missed,
            seen,
        },
        other => other,
    }
}
