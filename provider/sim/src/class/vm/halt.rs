//! Ways to stop and to restart: hard, clean, `shutdown` (clean, then hard), reboots, `power_state_reset`.

use std::time::Duration;

use super::{Begin, begin, running, start};
use crate::class::{message, vdi};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::guest;
use crate::operations;
use crate::pool::State;
use crate::value::Value;

/// Seconds that a guest has to acknowledge a clean operation.
const ACKNOWLEDGE: u64 = 60;

/// What remains of a VM that stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Halted,
    Suspended,
}

pub(super) async fn hard_shutdown(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let _running = begin(ctx, vm, "hard_shutdown").await?;
    let suspended = ctx.with(|state| {
        cancel_others(ctx, state, vm);
        state
            .db
            .get(Cls::Vm, vm, "power_state")
            .is_ok_and(|s| s.as_str() == "Suspended")
    });
    ctx.insist(ctx.pool.latencies.hard_shutdown_ms).await;
    ctx.with(|state| {
        halt(state, vm, Halt::Halted);
        message::about_vm(state, vm, "VM_SHUTDOWN");
    });
    if suspended {
        drop_image(ctx, vm).await;
    }
    Ok(())
}

/// A hard stop ends the clean operations under way.
fn cancel_others(ctx: &Context, state: &State, vm: &Ref) {
    let current = state
        .db
        .get(Cls::Vm, vm, "current_operations")
        .map(Value::as_map)
        .unwrap_or_default();
    for (task, op) in current {
        let pre_empted = [
            "clean_shutdown",
            "clean_reboot",
            "hard_reboot",
            "pool_migrate",
            "suspend",
        ];
        let task = Ref::from_arc(task);
        if pre_empted.contains(&op.as_str())
            && task != ctx.task
            && let Some(token) = state.cancels.get(&task)
        {
            token.cancel();
        }
    }
}

/// Removes the memory image of a VM that was suspended.
pub(super) async fn drop_image(ctx: &Context, vm: &Ref) {
    let image = ctx.with(|state| {
        let image = state
            .db
            .get(Cls::Vm, vm, "suspend_VDI")
            .map(Value::as_ref)
            .unwrap_or_else(|_| Ref::null());
        state.db.set_if(Cls::Vm, vm, "suspend_VDI", Value::from(Ref::null()));
        image
    });
    if !image.is_null() {
        // An image that is lost already needs no removal.
        let _gone = vdi::destroy(ctx, &image).await;
    }
}

pub(super) async fn clean_shutdown(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let _running = begin(ctx, vm, "clean_shutdown").await?;
    acknowledge(ctx, vm).await?;
    ctx.with(|state| {
        if state
            .db
            .get(Cls::Vm, vm, "power_state")
            .is_ok_and(|s| s.as_str() == "Running")
        {
            halt(state, vm, Halt::Halted);
            message::about_vm(state, vm, "VM_SHUTDOWN");
        }
    });
    Ok(())
}

/// Waits until the guest has done what it was asked to.
async fn acknowledge(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let guest = ctx.with(|state| guest::of_vm(state, vm));
    match guest.and_then(|g| g.shutdown_seconds) {
        Some(seconds) => {
            ctx.spend_exactly(Duration::try_from_secs_f64(seconds).unwrap_or_default())
                .await
        }
        None => {
            ctx.spend_exactly(Duration::from_secs(ACKNOWLEDGE)).await?;
            Err(Failure::new("VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", [vm.as_str()]))
        }
    }
}

pub(super) async fn shutdown(ctx: &Context, vm: &Ref) -> Outcome<()> {
    match clean_shutdown(ctx, vm).await {
        Err(failure) if failure.code.starts_with("VM_") && failure.code != "VM_BAD_POWER_STATE" => {
            hard_shutdown(ctx, vm).await
        }
        outcome => outcome,
    }
}

pub(super) async fn reboot(ctx: &Context, vm: &Ref, op: &'static str) -> Outcome<()> {
    let _running = begin(ctx, vm, op).await?;
    if op == "clean_reboot" {
        acknowledge(ctx, vm).await?;
    } else {
        ctx.with(|state| cancel_others(ctx, state, vm));
    }
    ctx.spend(ctx.pool.latencies.reboot_ms).await?;
    ctx.with(|state| {
        let host = state.db.get(Cls::Vm, vm, "resident_on")?.as_ref();
        running(state, vm, &host, Begin::Reboot, false);
        start::note_running(ctx, state, vm);
        message::about_vm(state, vm, "VM_REBOOTED");
        Ok(())
    })?;
    guest::boot(&ctx.pool, vm);
    Ok(())
}

/// Declares a VM halted whose host is known to be dead.
pub(super) fn power_state_reset(state: &mut State, vm: &Ref) -> Outcome<()> {
    let host = state.db.get(Cls::Vm, vm, "resident_on")?.as_ref();
    if let Ok(record) = state.db.record(Cls::Host, &host) {
        let live = state
            .db
            .get(Cls::HostMetrics, &record.reference("metrics"), "live")
            .is_ok_and(Value::as_bool);
        if live {
            return Err(Failure::new("HOST_IS_LIVE", [host.as_str()]));
        }
    }
    halt(state, vm, Halt::Halted);
    Ok(())
}

/// Writes all that is so once a domain is gone. Guest metrics stay as they were.
pub(crate) fn halt(state: &mut State, vm: &Ref, how: Halt) {
    let Ok(record) = state.db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    if how == Halt::Halted {
        state.boots.remove(vm);
        start::attach_devices(state, vm, false);
        for vif in record.refs("VIFs") {
            if let Ok(vif) = state.db.record(Cls::Vif, &vif) {
                state.leases.release(vif.str("MAC"));
            }
        }
    }
    let db = &mut state.db;
    for console in record.refs("consoles") {
        db.delete(Cls::Console, &console);
    }
    let power_state = if how == Halt::Halted { "Halted" } else { "Suspended" };
    db.set_if(Cls::Vm, vm, "power_state", power_state);
    db.set_if(Cls::Vm, vm, "domid", Value::Int(-1));
    db.set_if(Cls::Vm, vm, "resident_on", Value::from(Ref::null()));
    db.set_if(Cls::Vm, vm, "scheduled_to_be_resident_on", Value::from(Ref::null()));
    operations::refresh_vm(db, vm);
}
