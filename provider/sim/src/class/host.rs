//! `host`: clocks, memory, enabling and disabling.

use crate::class::vm::placement;
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::Outcome;
use crate::operations;
use crate::rpc::Args;
use crate::value::Value;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let host = args.reference(0);
    Some(match name {
        "get_servertime" | "get_server_localtime" => {
            let found = ctx.with(|state| state.db.record(Cls::Host, &host).map(|_| ()));
            ctx.insist(ctx.pool.latencies.get_servertime_ms).await;
            found.map(|()| Value::Time(ctx.pool.now()))
        }
        "compute_free_memory" => ctx
            .with(|state| placement::free_memory(&state.db, &host))
            .map(Value::Int),
        "compute_memory_overhead" => ctx.with(|state| state.db.get(Cls::Host, &host, "memory_overhead").cloned()),
        "disable" => set_enabled(ctx, &host, false),
        "enable" => set_enabled(ctx, &host, true),
        "list_methods" => return None,
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

fn set_enabled(ctx: &Context, host: &Ref, enabled: bool) -> Outcome<Value> {
    ctx.with(|state| {
        state.db.set(Cls::Host, host, "enabled", Value::Bool(enabled))?;
        operations::refresh(&mut state.db, Cls::Host, host);
        Ok(Value::Void)
    })
}
