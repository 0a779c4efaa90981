//! `host`: clocks, memory, enabling and disabling.

use crate::class::vm::{migrate, placement};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::ops::{self, Mark};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let host = args.reference(0);
    Some(match name {
        "get_servertime" | "get_server_localtime" => {
            let found = ctx.with(|state| assert_contact(state, &host));
            ctx.insist(ctx.pool.latencies.get_servertime_ms).await;
            found.map(|()| Value::Time(ctx.pool.now()))
        }
        "compute_free_memory" => ctx
            .with(|state| placement::free_memory(&state.db, &host))
            .map(Value::Int),
        "compute_memory_overhead" => ctx.with(|state| state.db.get(Cls::Host, &host, "memory_overhead").cloned()),
        "disable" => set_enabled(ctx, &host, false),
        "enable" => set_enabled(ctx, &host, true),
        "evacuate" => evacuate(ctx, &host).await.map(|()| Value::Void),
        "get_management_interface" => ctx.with(|state| {
            let pifs = state.db.get(Cls::Host, &host, "PIFs")?.refs();
            let managed = |pif: &Ref| state.db.get(Cls::Pif, pif, "management").is_ok_and(Value::as_bool);
            Ok(Value::from(
                pifs.iter().find(|pif| managed(pif)).cloned().unwrap_or_else(Ref::null),
            ))
        }),
        "assert_can_evacuate" => ctx.with(|state| state.db.record(Cls::Host, &host).map(|_| Value::Void)),
        _ => return None,
    })
}

/// Moves every guest of a host to others, one after the other.
async fn evacuate(ctx: &Context, host: &Ref) -> Outcome<()> {
    let busy = vec![Mark::new(Cls::Host, host, "evacuate")];
    let _running = ops::begin(ctx, busy, ops::STANDARD, |_| Ok(())).await?;
    let guests = ctx.with(|state| {
        let resident = state.db.get(Cls::Host, host, "resident_VMs")?.refs();
        let is_guest = |vm: &Ref| !state.db.get(Cls::Vm, vm, "is_control_domain").is_ok_and(Value::as_bool);
        Ok(resident.into_iter().filter(is_guest).collect::<Vec<_>>())
    })?;
    for vm in guests {
        let target = ctx.with(|state| placement::possible_hosts(&state.db, &vm))?;
        let target = target.into_iter().find(|other| other != host);
        let target = target.ok_or_else(|| Failure::new("NO_HOSTS_AVAILABLE", []))?;
        migrate::pool_migrate(ctx, &vm, &target).await?;
    }
    Ok(())
}

fn set_enabled(ctx: &Context, host: &Ref, enabled: bool) -> Outcome<Value> {
    ctx.with(|state| {
        state.db.set(Cls::Host, host, "enabled", Value::Bool(enabled))?;
        operations::refresh(&mut state.db, Cls::Host, host);
        Ok(Value::Void)
    })
}

/// Fails for hosts that nobody reaches: at first their calls are lost, later they count as offline.
pub(crate) fn assert_contact(state: &State, host: &Ref) -> Outcome<()> {
    let metrics = state.db.get(Cls::Host, host, "metrics")?.as_ref();
    if !state
        .db
        .get(Cls::HostMetrics, &metrics, "live")
        .is_ok_and(Value::as_bool)
    {
        return Err(Failure::new("HOST_OFFLINE", [host.as_str()]));
    }
    if state.unreachable.contains(host) {
        return Err(Failure::new("CANNOT_CONTACT_HOST", [host.as_str()]));
    }
    Ok(())
}

/// Fails when the host on which a VM runs is not reached.
pub(crate) fn assert_contact_of(state: &State, vm: &Ref) -> Outcome<()> {
    let host = state.db.get(Cls::Vm, vm, "resident_on")?.as_ref();
    if host.is_null() {
        Ok(())
    } else {
        assert_contact(state, &host)
    }
}
