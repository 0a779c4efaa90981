//! What must hold: all the time, now and then, and in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fleet::Uuid;
use fleet::ticket::{Board, Standing};
use serde_json::{Value as Json, json};

use crate::world::{Lab, When};

/// How often it is looked which VMs there are.
const LOOK: Duration = Duration::from_secs(1);

/// Watches that no VM goes before it may, until one does.
///
/// # Errors
/// One did.
pub(crate) async fn watch_promises(lab: Arc<Lab>) -> Result<()> {
    let mut there: BTreeMap<(String, String), Uuid> = BTreeMap::new();
    loop {
        let now = vms(&lab, &there).await?;
        for (place, vm) in there.iter().filter(|(place, _)| !now.contains_key(*place)) {
            lab.note(&place.0, &format!("{vm} is gone"));
            if let Some(broken) = lab.promises.broken_by_the_end_of(*vm, lab.now()) {
                bail!(broken);
            }
        }
        there = now;
        tokio::time::sleep(LOOK).await;
    }
}

/// All VMs by pool and reference. UUIDs are asked for once.
async fn vms(lab: &Lab, known: &BTreeMap<(String, String), Uuid>) -> Result<BTreeMap<(String, String), Uuid>> {
    let mut vms = BTreeMap::new();
    for pool in lab.pool_names() {
        let all = lab.call(pool, "VM.get_all", json!([])).await?;
        for reference in all.as_array().into_iter().flatten().filter_map(Json::as_str) {
            let place = (pool.to_owned(), reference.to_owned());
            let vm = match known.get(&place) {
                Some(vm) => *vm,
                None => match lab.call(pool, "VM.get_uuid", json!([reference])).await {
                    Ok(uuid) => uuid.as_str().context("a UUID")?.parse()?,
                    // It has come and gone.
                    Err(_) => continue,
                },
            };
            vms.insert(place, vm);
        }
    }
    Ok(vms)
}

/// Checks what holds at any time.
///
/// # Errors
/// It does not.
pub(crate) fn meanwhile(lab: &Lab) -> Result<()> {
    lab.check_foreign(When::Meanwhile)
}

/// Checks what holds when all is over.
///
/// # Errors
/// It does not.
pub(crate) async fn at_the_end(lab: &Lab) -> Result<()> {
    lab.check_foreign(When::AtTheEnd)?;
    let left = lab.left_over();
    ensure!(left.is_empty(), "left over: {left:#?}");
    let things = lab.things();
    let lost: BTreeSet<Uuid> = lab
        .promises
        .kept()
        .into_iter()
        .filter(|vm| !things.contains(&vm.to_string()))
        .collect();
    ensure!(lost.is_empty(), "kept by people, and gone: {lost:?}");
    for pool in lab.pool_names() {
        let tasks = lab.pending_tasks(pool).await?;
        ensure!(tasks.is_empty(), "{pool} has tasks that have not ended: {tasks:#?}");
        check_tickets(lab, pool).await?;
    }
    Ok(())
}

/// Nobody holds room; only the highest ticket may be there still, as the next one is counted from it.
async fn check_tickets(lab: &Lab, pool: &str) -> Result<()> {
    let keys = lab.tickets(pool).await?;
    let board = Board::read(keys.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    for (number, standing) in board.standings(lab.now()) {
        let is_rest = board.is_highest(number) && matches!(standing, Standing::Released | Standing::Over(_));
        ensure!(is_rest, "{pool}: ticket {number} is left: {standing:?} in {keys:#?}");
    }
    Ok(())
}
