//! `keep`, `unkeep`, `unclaim`: marks that a person puts on VMs and takes off them.

use fleet::lease::{Mark, Parsed, format_time};
use futures::future::join_all;
use jiff::Timestamp;
use ulid::Ulid;
use xenapi::VmRecord;

use super::VerbError;
use super::change::{Change, Told, tell};
use super::choose::{Found, choose};
use crate::classify::classify;
use crate::cli::{Chosen, Form};
use crate::decide::due;
use crate::marks;
use crate::output::Printer;
use crate::policy::Policy;
use crate::setup::Setup;
use crate::sight::Sight;

/// Marks servers to be kept; gives the exit code.
pub(super) async fn keep(setup: &Setup, chosen: &Chosen, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let found = choose(setup, chosen, |sight| sight.marks.names_itself()).await?;
    let changes = found.iter().map(|one| async { Change::new(one, keep_one(one).await) });
    tell(&join_all(changes).await, printer)
}

/// Takes the mark off again; gives the exit code.
pub(super) async fn unkeep(setup: &Setup, chosen: &Chosen, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let found = choose(setup, chosen, |sight| sight.marks.is_kept()).await?;
    let policy = &setup.policy;
    let changes = found
        .iter()
        .map(|one| async move { Change::new(one, unkeep_one(one, policy).await) });
    tell(&join_all(changes).await, printer)
}

/// Takes the claims of dead reapers off VMs; gives the exit code.
pub(super) async fn unclaim(setup: &Setup, chosen: &Chosen, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let found = choose(setup, chosen, |sight| !sight.marks.claims().is_empty()).await?;
    if printer.form() == Form::Table {
        // Before anything is done: what is taken off tells who had put it there.
        for one in &found {
            for claim in claims(&one.record) {
                let put = Timestamp::from_millisecond(i64::try_from(claim.timestamp_ms()).unwrap_or(i64::MAX));
                let put = put.map(format_time).unwrap_or_default();
                printer.line(format_args!(
                    "{}: {}, put there at {put}",
                    one.title(),
                    Mark::Reaping(claim)
                ))?;
            }
        }
    }
    let policy = &setup.policy;
    let changes = found
        .iter()
        .map(|one| async move { Change::new(one, unclaim_one(one, policy).await) });
    tell(&join_all(changes).await, printer)
}

async fn keep_one(found: &Found) -> Told {
    let sight = found.sight();
    if sight.birth.is_some() && !sight.marks.names_itself() {
        return Err("a clone that nobody has marked yet: to keep it, give it another name".to_owned());
    }
    if !sight.marks.names_itself() {
        return Err("no server of dynvm: no reaper deletes it".to_owned());
    }
    said(marks::put(&found.client, &found.vm, &Mark::Keep).await)?;
    // A reaper looks again before each step, so that it may stop still.
    if sight_now(found).await?.marks.claims().is_empty() {
        Ok("kept, until unkeep".to_owned())
    } else {
        Err(
            "marked, but a reaper has claimed it already: it is being reaped, and the wish may come too late"
                .to_owned(),
        )
    }
}

async fn unkeep_one(found: &Found, policy: &Policy) -> Told {
    if !found.sight().marks.is_kept() {
        return Ok("was not marked dynvm:keep".to_owned());
    }
    said(marks::take(&found.client, &found.vm, &Mark::Keep).await)?;
    let sight = sight_now(found).await?;
    if sight.marks.is_kept() {
        return Err("marked dynvm:keep still, or again".to_owned());
    }
    let now = said(found.now().await)?;
    Ok(format!("not kept any more: {}", classify(&sight, now, policy.grace)))
}

async fn unclaim_one(found: &Found, policy: &Policy) -> Told {
    let claims = claims(&found.record);
    if claims.is_empty() {
        return Ok("carries no claim".to_owned());
    }
    if let Some(operation) = found.sight().operation {
        return Err(format!(
            "{operation} is in progress on it: a reaper may be at work, nothing was changed"
        ));
    }
    for claim in &claims {
        said(marks::take(&found.client, &found.vm, &Mark::Reaping(*claim)).await)?;
    }
    let sight = sight_now(found).await?;
    let now = said(found.now().await)?;
    let then = match due(&sight, now, policy) {
        Ok(_) => "it is due still, and a reaper claims it again: extend it, or keep it",
        Err(_) => "no reaper is to delete it now",
    };
    let taken: Vec<String> = claims.iter().map(|claim| Mark::Reaping(*claim).to_string()).collect();
    Ok(format!("taken off: {}; {then}", taken.join(", ")))
}

async fn sight_now(found: &Found) -> Result<Sight, String> {
    let record = said(found.read().await)?;
    Ok(Sight::of(&found.vm, &record))
}

/// All claims on a VM, on whichever side and whoever they were meant for.
fn claims(record: &VmRecord) -> Vec<Ulid> {
    let texts = record.tags.iter().chain(record.other_config.keys());
    let claims = texts.filter_map(|text| match Mark::parse(text) {
        Parsed::Mark(Mark::Reaping(claim)) => Some(claim),
        Parsed::Mark(_) | Parsed::Other | Parsed::Unparsable => None,
    });
    let mut claims: Vec<Ulid> = claims.collect();
    claims.sort_unstable();
    claims.dedup();
    claims
}

fn said<T>(result: Result<T, xenapi::Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
