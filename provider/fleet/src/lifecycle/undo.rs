//! Undoing a creation: every trace of the clone goes.

use std::time::Duration;

use super::own::{Whose, drives_of};
use super::plan::Plan;
use super::remove::{Removal, reload};
use super::site::Site;
use super::{Bounds, Made, call};
use crate::error::Error;

/// How long an undoing may take; the creation's own time may be over.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Removes what a creation has made.
pub(super) async fn undo(plan: &Plan, made: &Made) -> Result<(), Error> {
    let bounds = Bounds::new(PATIENCE, plan.bounds.cancel.clone());
    let late = || Error::Timeout {
        doing: "deleting",
        pool: plan.member.name().to_owned(),
        vm: made.name(),
        limit: PATIENCE,
        status: "how it is cannot be read",
    };
    let client = plan.member.client()?;
    let read = bounds.hold(reload(client, &made.reference), late).await?;
    let Some(loaded) = read else {
        return Ok(());
    };
    let removal = Removal {
        site: Site {
            client,
            pool: plan.member.name(),
            bounds: &bounds,
            recheck: None,
        },
        storage: plan.inventory.srs(),
        loaded: &loaded,
        whose: bounds.hold(whose(plan, made), late).await?,
    };
    plan.member.wrote();
    let kept = removal.remove().await?;
    plan.member.wrote();
    for disk in kept {
        tracing::warn!(pool = plan.member.name(), disk = %disk.uuid, reason = disk.reason, "a disk was kept");
    }
    Ok(())
}

/// The disks of the clone are those that it was seen with first, or those that its template has.
async fn whose(plan: &Plan, made: &Made) -> Result<Whose, Error> {
    if let Some(born) = &made.loaded {
        return Ok(Whose::These(born.vdis.iter().map(|(vdi, _)| vdi.clone()).collect()));
    }
    let template = std::slice::from_ref(&plan.template.reference);
    let numbers = drives_of(plan.member.client()?, template).await;
    numbers
        .map(Whose::Fresh)
        .map_err(call("reading the template's drives", &made.name()))
}
