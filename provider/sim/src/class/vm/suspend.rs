//! `pause`, `unpause`, `suspend`, `resume`.

use super::start::{four, note_running};
use super::{Begin, Halt, begin, halt, running, start};
use crate::class::{message, vdi};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::guest;
use crate::operations;
use crate::value::Value;

pub(super) async fn pause(ctx: &Context, vm: &Ref) -> Outcome<()> {
    switch(ctx, vm, "pause", "Paused").await
}

pub(super) async fn unpause(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let metrics = ctx.with(|state| state.db.get(Cls::Vm, vm, "guest_metrics").map(Value::as_ref))?;
    switch(ctx, vm, "unpause", "Running").await?;
    // A guest that was started paused boots now.
    let is_new = ctx.with(|state| {
        let booted = state
            .db
            .get(Cls::VmGuestMetrics, &metrics, "PV_drivers_detected")
            .is_ok_and(Value::as_bool);
        if !booted {
            note_running(ctx, state, vm);
        }
        !booted
    });
    if is_new {
        guest::boot(&ctx.pool, vm);
    }
    Ok(())
}

async fn switch(ctx: &Context, vm: &Ref, op: &'static str, to: &str) -> Outcome<()> {
    let _running = begin(ctx, vm, op).await?;
    ctx.spend(ctx.pool.latencies.pause_ms).await?;
    ctx.with(|state| {
        state.db.set(Cls::Vm, vm, "power_state", to)?;
        operations::refresh_vm(&mut state.db, vm);
        Ok(())
    })
}

pub(super) async fn suspend(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let _running = begin(ctx, vm, "suspend").await?;
    let (sr, bytes, name) = ctx.with(|state| {
        let record = state.db.record(Cls::Vm, vm)?;
        let pool = state.db.record(Cls::Pool, &state.db.pool())?;
        let candidates = [
            record.reference("suspend_SR"),
            pool.reference("suspend_image_SR"),
            pool.reference("default_SR"),
        ];
        let sr = candidates.into_iter().find(|sr| state.db.exists(Cls::Sr, sr));
        let sr = sr.ok_or_else(|| Failure::new("VM_NO_SUSPEND_SR", [vm.as_str()]))?;
        Ok((
            sr,
            record.int("memory_dynamic_max"),
            record.str("name_label").to_owned(),
        ))
    })?;
    let image = vdi::create_plain(ctx, &sr, bytes).await?;
    ctx.with(|state| {
        state
            .db
            .set_if(Cls::Vdi, &image, "name_label", format!("Suspend image for {name}"));
        state.db.set_if(Cls::Vdi, &image, "type", "suspend");
    });
    let per_gib = ctx.pool.pick(ctx.pool.latencies.suspend_ms_per_gib);
    #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
    let gib = bytes as f64 / f64::from(1 << 30);
    ctx.spend_exactly(per_gib.mul_f64(gib)).await?;
    ctx.with(|state| {
        state.db.set(Cls::Vm, vm, "suspend_VDI", Value::from(&image))?;
        halt(state, vm, Halt::Suspended);
        message::about_vm(state, vm, "VM_SUSPENDED");
        Ok(())
    })
}

pub(super) async fn resume(ctx: &Context, vm: &Ref, host: Option<Ref>, paused: bool) -> Outcome<()> {
    let _running = begin(ctx, vm, if host.is_some() { "resume_on" } else { "resume" }).await?;
    let host = ctx.with(|state| start::reserve(state, vm, host.as_ref(), false))?;
    let workers = ctx.with(|state| state.workers.entry(host.clone()).or_insert_with(four).clone());
    let _worker = ctx.pool.clock.park(workers.acquire_owned()).await;
    ctx.spend(ctx.pool.latencies.vm_start_ms).await?;
    ctx.with(|state| {
        start::attach_devices(state, vm, true);
        running(state, vm, &host, Begin::Resume, paused);
        message::about_vm(state, vm, "VM_RESUMED");
    });
    super::halt::drop_image(ctx, vm).await;
    Ok(())
}
