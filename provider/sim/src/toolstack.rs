//! Restarts of xapi and changes of the coordinator: sessions and tasks are forgotten, calls under way die.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::class::task;
use crate::class::vm::attach_devices;
use crate::clock::Pace;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::{Backup, Endpoint, Pool, State};
use crate::session;
use crate::value::Value;

/// Silence after which a host counts as dead.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Restarts xapi on the coordinator.
pub(crate) fn restart(pool: &Pool) {
    pool.with(|state| {
        forget_volatile(state);
    });
    for host in &pool.hosts {
        cut_connections(host);
    }
}

/// Makes another host the coordinator.
pub(crate) fn set_coordinator(pool: &Pool, host: &Ref) -> Outcome<()> {
    pool.with(|state| {
        state.db.record(Cls::Host, host)?;
        let reference = state.db.pool();
        state.db.set(Cls::Pool, &reference, "master", Value::from(host))
    })?;
    restart(pool);
    Ok(())
}

/// The same for a host by its name or UUID.
pub(crate) fn set_coordinator_called(pool: &Pool, name: &str) -> Outcome<()> {
    let host = pool.with(|state| find_host(state, name))?;
    set_coordinator(pool, &host)
}

/// Drops every connection of a host.
pub(crate) fn cut_connections(host: &Endpoint) {
    let mut token = host
        .connections
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    token.cancel();
    *token = CancellationToken::new();
}

fn forget_volatile(state: &mut State) {
    state.epoch.cancel();
    state.epoch = CancellationToken::new();
    state.cancels.clear();
    state.doomed.clear();
    session::close_all(state);
    state.db.forget_all(Cls::Task);
    for cls in [Cls::Vm, Cls::Vbd, Cls::Vif, Cls::Vdi, Cls::Sr, Cls::Host] {
        let busy: Vec<Ref> = state
            .db
            .all(cls)
            .filter(|(_, r)| !r.get("current_operations").as_map().is_empty())
            .map(|(r, _)| r.clone())
            .collect();
        for reference in busy {
            state
                .db
                .set_if(cls, &reference, "current_operations", crate::class::no_map());
            operations::refresh(&mut state.db, cls, &reference);
        }
    }
    let scheduled: Vec<Ref> = state
        .db
        .all(Cls::Vm)
        .filter(|(_, r)| !r.reference("scheduled_to_be_resident_on").is_null())
        .map(|(r, _)| r.clone())
        .collect();
    for vm in scheduled {
        state
            .db
            .set_if(Cls::Vm, &vm, "scheduled_to_be_resident_on", Value::from(Ref::null()));
    }
    // A start that was cut short has plugged devices of a domain that never came to be.
    for vm in half_started(state) {
        attach_devices(state, &vm, false);
    }
    state.waiters.broadcast();
}

/// Halted VMs with devices that are plugged.
fn half_started(state: &State) -> Vec<Ref> {
    let is_plugged = |cls, device: &Ref| {
        let attached = state.db.get(cls, device, "currently_attached");
        attached.is_ok_and(Value::as_bool)
    };
    let halted = state.db.all(Cls::Vm).filter(|(_, r)| r.str("power_state") == "Halted");
    let plugged = halted.filter(|(_, r)| {
        let vbds = r.refs("VBDs").into_iter().any(|vbd| is_plugged(Cls::Vbd, &vbd));
        vbds || r.refs("VIFs").into_iter().any(|vif| is_plugged(Cls::Vif, &vif))
    });
    plugged.map(|(vm, _)| vm.clone()).collect()
}

/// What xapi does every 30 seconds: old sessions and tasks go.
pub(crate) fn collect(state: &mut State) {
    session::collect(state);
    task::collect(state);
}

/// The host of a name or UUID.
pub(crate) fn find_host(state: &State, name: &str) -> Outcome<Ref> {
    let by_name = state
        .db
        .all(Cls::Host)
        .find(|(_, r)| r.str("name_label") == name || r.str("uuid") == name);
    by_name
        .map(|(r, _)| r.clone())
        .ok_or_else(|| Failure::new("UUID_INVALID", ["host", name]))
}

/// Writes whether a host's heartbeat is seen.
pub(crate) fn set_live(state: &mut State, host: &Ref, live: bool) {
    let metrics = state
        .db
        .get(Cls::Host, host, "metrics")
        .map_or_else(|_| Ref::null(), Value::as_ref);
    state.db.set_if(Cls::HostMetrics, &metrics, "live", Value::Bool(live));
}

/// A host that stays silent for ten minutes counts as dead.
pub(crate) fn declare_dead_later(pool: &Arc<Pool>, host: &Ref) {
    let (worker, host) = (pool.clone(), host.clone());
    pool.background(async move {
        worker.clock.sleep(HEARTBEAT, Pace::Idle).await;
        worker.with(|state| {
            if state.unreachable.contains(&host) {
                set_live(state, &host, false);
            }
        });
    });
}

/// Copies the database to the members, as the coordinator does every five minutes.
pub(crate) fn back_up(state: &mut State) {
    let (db, disks, used) = (state.db.clone(), state.disks.clone(), state.used.clone());
    state.backup = Some(Box::new(Backup { db, disks, used }));
}

/// Starts again from the members' copy: what was written since is gone, and the generation goes back.
pub(crate) fn roll_back(pool: &Pool) -> bool {
    let rolled = pool.with(|state| {
        let Some(backup) = state.backup.take() else {
            return false;
        };
        state.db = backup.db;
        state.disks = backup.disks;
        state.used = backup.used;
        true
    });
    if rolled {
        restart(pool);
    }
    rolled
}
