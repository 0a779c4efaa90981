//! `pause`, `unpause`, `suspend`, `resume`, and `checkpoint`, which is a snapshot in between the last two.

use super::start::{four, note_running};
use super::{Begin, Halt, begin, clone, halt, running, start};
use crate::class::{message, vdi};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::guest;
use crate::operations;
use crate::pool::State;
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
    write_image(ctx, vm).await
}

/// Where a VM's memory goes, how much of it, and what the image is called.
fn image_of(state: &State, vm: &Ref) -> Outcome<(Ref, i64, String)> {
    let record = state.db.record(Cls::Vm, vm)?;
    let pool = state.db.record(Cls::Pool, &state.db.pool())?;
    let candidates = [
        record.reference("suspend_SR"),
        pool.reference("suspend_image_SR"),
        pool.reference("default_SR"),
    ];
    let sr = candidates.into_iter().find(|sr| state.db.exists(Cls::Sr, sr));
    let sr = sr.ok_or_else(|| Failure::new("VM_NO_SUSPEND_SR", [vm.as_str()]))?;
    let name = format!("Suspend image for {}", record.str("name_label"));
    Ok((sr, record.int("memory_dynamic_max"), name))
}

async fn write_image(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let (sr, bytes, name) = ctx.with(|state| image_of(state, vm))?;
    let image = vdi::create_plain(ctx, &sr, bytes).await?;
    ctx.with(|state| {
        state.db.set_if(Cls::Vdi, &image, "name_label", name);
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

/// Suspends a VM at once. A pool without a place for images suspends it without one.
pub(crate) fn suspend_now(state: &mut State, vm: &Ref) {
    if let Ok((sr, bytes, name)) = image_of(state, vm) {
        let fields = vec![
            ("SR", Value::from(&sr)),
            ("name_label", Value::from(name)),
            ("type", Value::str("suspend")),
            ("virtual_size", Value::Int(bytes)),
        ];
        let image = vdi::add_plain(state, &sr, bytes, fields);
        state.db.set_if(Cls::Vm, vm, "suspend_VDI", Value::from(image));
    }
    halt(state, vm, Halt::Suspended);
}

/// Forgets the memory of a suspended VM at once.
pub(crate) fn drop_image_now(state: &mut State, vm: &Ref) {
    let image = state.db.get(Cls::Vm, vm, "suspend_VDI").map(Value::as_ref);
    if let Ok(image) = image {
        vdi::drop_now(state, &image);
    }
    state.db.set_if(Cls::Vm, vm, "suspend_VDI", Value::from(Ref::null()));
}

pub(super) async fn resume(ctx: &Context, vm: &Ref, host: Option<Ref>, paused: bool) -> Outcome<()> {
    let _running = begin(ctx, vm, if host.is_some() { "resume_on" } else { "resume" }).await?;
    read_image(ctx, vm, host, paused).await
}

async fn read_image(ctx: &Context, vm: &Ref, host: Option<Ref>, paused: bool) -> Outcome<()> {
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

/// A snapshot with the memory: the VM is suspended, disks and image are snapshotted, and it goes on where it ran.
pub(super) async fn checkpoint(ctx: &Context, vm: &Ref, name: &str) -> Outcome<Ref> {
    let _running = begin(ctx, vm, "checkpoint").await?;
    let host = ctx.with(|state| state.db.get(Cls::Vm, vm, "resident_on").map(Value::as_ref))?;
    write_image(ctx, vm).await?;
    let made = clone::make(ctx, vm, name, &clone::How::Checkpoint).await;
    read_image(ctx, vm, Some(host), false).await?;
    made
}
