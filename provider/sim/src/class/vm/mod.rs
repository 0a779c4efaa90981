//! `VM`: one file per kind of behaviour.

mod clone;
mod configure;
mod create;
mod halt;
pub(crate) mod migrate;
pub(crate) mod placement;
mod start;
mod suspend;

use crate::class::host::assert_contact_of;
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations::{self, check_vm};
use crate::ops::{self, Mark, Running};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(crate) use create::remove;
pub(crate) use halt::{Halt, halt};
pub(crate) use start::{Begin, attach_devices, running};
pub(crate) use suspend::{drop_image_now, suspend_now};

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let vm = args.reference(0);
    let void = |outcome: Outcome<()>| outcome.map(|()| Value::Void);
    Some(match name {
        "clone" => clone::derive(ctx, &vm, args.str(1), clone::How::Clone)
            .await
            .map(Value::from),
        "copy" => clone::derive(ctx, &vm, args.str(1), clone::How::Copy(args.reference(2)))
            .await
            .map(Value::from),
        "snapshot" => clone::derive(ctx, &vm, args.str(1), clone::How::Snapshot)
            .await
            .map(Value::from),
        "checkpoint" => suspend::checkpoint(ctx, &vm, args.str(1)).await.map(Value::from),
        "create" => create(ctx, args.get(0)).map(Value::from),
        "destroy" => void(create::destroy(ctx, &vm).await),
        "provision" => void(create::provision(ctx, &vm).await),
        "set_is_a_template" => void(ctx.with(|state| create::set_is_a_template(state, &vm, args.bool(1)))),
        "start" => void(start::start(ctx, &vm, None, args.bool(1), args.bool(2)).await),
        "start_on" => void(start::start(ctx, &vm, Some(args.reference(1)), args.bool(2), args.bool(3)).await),
        "hard_shutdown" => void(halt::hard_shutdown(ctx, &vm).await),
        "clean_shutdown" => void(halt::clean_shutdown(ctx, &vm).await),
        "shutdown" => void(halt::shutdown(ctx, &vm).await),
        "hard_reboot" => void(halt::reboot(ctx, &vm, "hard_reboot").await),
        "clean_reboot" => void(halt::reboot(ctx, &vm, "clean_reboot").await),
        "power_state_reset" => void(ctx.with(|state| halt::power_state_reset(state, &vm))),
        "pause" => void(suspend::pause(ctx, &vm).await),
        "unpause" => void(suspend::unpause(ctx, &vm).await),
        "suspend" => void(suspend::suspend(ctx, &vm).await),
        "resume" => void(suspend::resume(ctx, &vm, None, args.bool(1)).await),
        "resume_on" => void(suspend::resume(ctx, &vm, Some(args.reference(1)), args.bool(2)).await),
        "pool_migrate" => void(migrate::pool_migrate(ctx, &vm, &args.reference(1)).await),
        _ => return queries(ctx, &vm, name, args).or_else(|| configure::call(ctx, &vm, name, args)),
    })
}

fn create(ctx: &Context, argument: &Value) -> Outcome<Ref> {
    ctx.with(|state| {
        let vm = create::create(state, argument)?;
        note_created(ctx, state, &vm);
        Ok(vm)
    })
}

/// Notes for the bench when a VM appeared.
fn note_created(ctx: &Context, state: &mut State, vm: &Ref) {
    if let Ok(uuid) = state.db.get(Cls::Vm, vm, "uuid").map(|v| v.as_str().to_owned()) {
        state.instants.entry(uuid).or_default().created_us = Some(ctx.pool.clock.real_us());
    }
}

fn queries(ctx: &Context, vm: &Ref, name: &str, args: &Args) -> Option<Outcome<Value>> {
    ctx.with(|state| {
        let db = &mut state.db;
        Some(match name {
            "assert_can_boot_here" => placement::assert_can_boot_here(db, vm, &args.reference(1)).map(|()| Value::Void),
            "get_possible_hosts" => placement::possible_hosts(db, vm).map(Value::from),
            "compute_memory_overhead" => placement::overhead(db, vm).map(Value::Int),
            "assert_operation_valid" => check_vm(db, vm, args.str(1)).map(|()| Value::Void),
            "update_allowed_operations" => {
                operations::refresh_vm(db, vm);
                db.record(Cls::Vm, vm).map(|_| Value::Void)
            }
            "get_allowed_VBD_devices" => free_devices(db, vm, "VBDs", Cls::Vbd, "userdevice", 16),
            "get_allowed_VIF_devices" => free_devices(db, vm, "VIFs", Cls::Vif, "device", 7),
            "assert_agile" => Ok(Value::Void),
            "maximise_memory" => Ok(Value::Int(args.int(1))),
            "get_cooperative" => Ok(Value::Bool(true)),
            "get_boot_record" => db.record(Cls::Vm, vm).map(|r| Value::Record(r.clone())),
            _ => return None,
        })
    })
}

fn free_devices(db: &crate::db::Db, vm: &Ref, set: &str, cls: Cls, field: &str, most: usize) -> Outcome<Value> {
    let used: Vec<String> = db
        .get(Cls::Vm, vm, set)?
        .refs()
        .iter()
        .filter_map(|device| Some(db.get(cls, device, field).ok()?.as_str().to_owned()))
        .collect();
    Ok(Value::strings(
        (0..most).map(|n| n.to_string()).filter(|n| !used.contains(n)),
    ))
}

/// Begins an operation on a VM when its state and other operations allow it.
async fn begin(ctx: &Context, vm: &Ref, op: &'static str) -> Outcome<Running> {
    begin_with(ctx, vm, op, Vec::new()).await
}

/// Begins an operation on a VM and marks other objects with theirs.
async fn begin_with(ctx: &Context, vm: &Ref, op: &'static str, others: Vec<Mark>) -> Outcome<Running> {
    let mut marks = vec![Mark::new(Cls::Vm, vm, op)];
    marks.extend(others);
    let target = vm.clone();
    ops::begin(ctx, marks, ops::STANDARD, move |state| {
        check_vm(&state.db, &target, op)?;
        // Whatever touches the domain is done by the host that it runs on.
        assert_contact_of(state, &target)
    })
    .await
}

/// The failure of setters that get a value out of range.
fn invalid(field: &str, value: i64) -> Failure {
    Failure::new("INVALID_VALUE", [field, &value.to_string()])
}
