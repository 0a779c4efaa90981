//! `VM.pool_migrate`: live, inside the pool, on storage that both hosts see.

use super::{begin, placement};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::Outcome;
use crate::operations;
use crate::value::Value;

pub(crate) async fn pool_migrate(ctx: &Context, vm: &Ref, host: &Ref) -> Outcome<()> {
    let _running = begin(ctx, vm, "pool_migrate").await?;
    let (memory, is_there) = ctx.with(|state| {
        let record = state.db.record(Cls::Vm, vm)?.clone();
        state.db.record(Cls::Host, host)?;
        let is_there = record.reference("resident_on") == *host;
        if !is_there {
            placement::assert_can_boot_here(&state.db, vm, host)?;
            state
                .db
                .set(Cls::Vm, vm, "scheduled_to_be_resident_on", Value::from(host))?;
        }
        Ok((record.int("memory_dynamic_max"), is_there))
    })?;
    if is_there {
        return Ok(());
    }
    let per_gib = ctx.pool.pick(ctx.pool.latencies.migrate_ms_per_gib);
    #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
    let gib = memory as f64 / f64::from(1 << 30);
    let moved = ctx.spend_exactly(per_gib.mul_f64(gib)).await;
    ctx.with(|state| {
        let none = Value::from(Ref::null());
        if moved.is_ok() {
            state.next_domid += 1;
            let domid = state.next_domid;
            state.db.set_if(Cls::Vm, vm, "resident_on", Value::from(host));
            state.db.set_if(Cls::Vm, vm, "domid", Value::Int(domid));
        }
        state.db.set_if(Cls::Vm, vm, "scheduled_to_be_resident_on", none);
        operations::refresh_vm(&mut state.db, vm);
    });
    moved
}
