//! Undoing a creation: every trace of the clone goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use xenapi::VmRecord;

use super::own::{Whose, drives_of};
use super::plan::Plan;
use super::remove::{Removal, reload};
use super::site::{Recheck, Site};
use super::{Bounds, Made, call};
use crate::error::Error;
use crate::lease::{Expires, Mark, format_time};
use crate::pool::marks_of;

/// How long an undoing may take; the creation's own time may be over.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Looks for what somebody was promised. Whoever keeps or extends a server under its creation lease is told that it will live;
/// that its creation has failed nobody knows but the creator.
struct Promises<'a> {
    plan: &'a Plan,
    made: &'a Made,
    /// A destructive step was allowed.
    has_begun: AtomicBool,
}

/// Removes what a creation has made, unless somebody wants it.
pub(super) async fn undo(plan: &Plan, made: &Made) -> Result<(), Error> {
    let bounds = Bounds::new(PATIENCE, plan.bounds.cancel.clone());
    let late = || Error::Timeout {
        doing: "deleting",
        pool: plan.pool().to_owned(),
        vm: made.name(),
        limit: PATIENCE,
        status: "how it is cannot be read",
    };
    let client = plan.member.client()?;
    let read = bounds.hold(reload(client, &made.reference), late).await?;
    let Some(loaded) = read else {
        return Ok(());
    };
    let promises = Promises {
        plan,
        made,
        has_begun: AtomicBool::new(false),
    };
    let removal = Removal {
        site: Site {
            client,
            pool: plan.pool(),
            bounds: &bounds,
            recheck: Some(&promises),
        },
        storage: plan.fabric.srs(),
        loaded: &loaded,
        whose: bounds.hold(whose(plan, made), late).await?,
    };
    plan.member.wrote();
    let kept = removal.remove().await?;
    plan.member.wrote();
    for disk in kept {
        tracing::warn!(pool = plan.pool(), disk = %disk.uuid, reason = disk.reason, "a disk was kept");
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

impl Promises<'_> {
    async fn look(&self) -> Result<(), Error> {
        let (vm, name) = (&self.made.reference, self.made.name());
        let now = match self.plan.member.client()?.vm().record(vm).await {
            Ok(record) => record,
            Err(cause) if cause.is_gone_object(vm) => return Ok(()),
            Err(cause) => return Err(call("looking at the VM again", &name)(cause)),
        };
        let Some(why) = promise(&now, &self.plan.template.record, self.made.lease) else {
            self.has_begun.store(true, Ordering::Release);
            return Ok(());
        };
        let (pool, vm) = (self.plan.pool().to_owned(), name);
        Err(if self.has_begun.load(Ordering::Acquire) {
            Error::NoLongerDue { pool, vm, why }
        } else {
            Error::Promised { pool, vm, why }
        })
    }
}

impl Recheck for Promises<'_> {
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.look())
    }
}

/// What somebody other than the creator has written on a clone. What it has inherited is nobody's wish: a side that does not
/// name the clone yet counts only where it differs from the template's.
fn promise(now: &VmRecord, template: &VmRecord, lease: Option<Expires>) -> Option<String> {
    let marks = marks_of(now);
    let keep = Mark::Keep.to_string();
    let by_key = marks.names_itself() || !template.other_config.contains_key(&keep);
    let by_tag = marks.is_named_by_tags() || !template.tags.contains(&keep);
    if now.other_config.contains_key(&keep) && by_key || now.tags.contains(&keep) && by_tag {
        return Some(format!("somebody put {keep} on it"));
    }
    let mut others = marks.expires().into_iter().filter(|expires| Some(*expires) != lease);
    let latest = others.next_back().filter(|_| marks.names_itself())?;
    Some(format!("somebody extended its lease to {}", format_time(latest.at)))
}
