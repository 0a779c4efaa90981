//! `VBD`: create, destroy, plug, unplug, insert, eject.

use crate::class::{constructor, member, no_map};
use crate::context::Context;
use crate::db::{Cls, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let vbd = args.reference(0);
    let void = |outcome: Outcome<()>| outcome.map(|()| Value::Void);
    Some(match name {
        "create" => ctx.with(|state| create(state, args.get(0))).map(Value::from),
        "destroy" => void(ctx.with(|state| destroy(state, &vbd))),
        "plug" => void(plug(ctx, &vbd, true).await),
        "unplug" | "unplug_force" => void(plug(ctx, &vbd, false).await),
        "insert" => void(ctx.with(|state| insert(state, &vbd, Some(&args.reference(1))))),
        "eject" => void(ctx.with(|state| insert(state, &vbd, None))),
        "set_mode" => void(ctx.with(|state| state.db.set(Cls::Vbd, &vbd, "mode", args.get(1).clone()))),
        _ => return None,
    })
}

fn create(state: &mut State, argument: &Value) -> Outcome<Ref> {
    let mut fields = constructor(Cls::Vbd, argument)?;
    let vm = member(&fields, "VM").as_ref();
    let vdi = member(&fields, "VDI").as_ref();
    let record = state.db.record(Cls::Vm, &vm)?;
    if record.bool("is_a_snapshot") {
        return Err(Failure::new("VM_IS_SNAPSHOT", [vm.as_str(), "VBD.create"]));
    }
    let current = record.get("current_operations").as_map();
    if let Some((key, op)) = current
        .iter()
        .find(|(_, op)| ["pool_migrate", "migrate_send"].contains(&op.as_str()))
    {
        return Err(crate::ops::in_progress(Cls::Vm, &vm, op.as_str(), key));
    }
    let is_empty = member(&fields, "empty").as_bool();
    let is_cd = member(&fields, "type").as_str() == "CD";
    let is_read_only = member(&fields, "mode").as_str() == "RO";
    if is_cd && !is_read_only {
        return Err(Failure::new("VBD_CDS_MUST_BE_READONLY", []));
    }
    if is_empty && !is_cd {
        return Err(Failure::new("VBD_MISSING", []));
    }
    if !is_empty {
        let disk = state.db.record(Cls::Vdi, &vdi)?;
        if !disk.bool("managed") {
            return Err(Failure::new("VDI_NOT_MANAGED", [vdi.as_str()]));
        }
        if disk.bool("read_only") && !is_read_only {
            return Err(Failure::new("VDI_READONLY", [vdi.as_str()]));
        }
    }
    let device = free_device(state, &vm, member(&fields, "userdevice").as_str())?;
    let vbd = state.random.reference();
    let uuid = state.random.uuid();
    fields.extend([
        ("uuid", Value::from(uuid)),
        ("userdevice", Value::from(device)),
        ("device", Value::str("")),
        ("currently_attached", Value::Bool(false)),
        (
            "VDI",
            if is_empty {
                Value::from(Ref::null())
            } else {
                Value::from(vdi)
            },
        ),
    ]);
    state.db.create(Cls::Vbd, &vbd, fields);
    operations::refresh_vm(&mut state.db, &vm);
    Ok(vbd)
}

/// The device number asked for, or the first free one; letters (`xvda`, `hdb`) are numbers too.
fn free_device(state: &State, vm: &Ref, wish: &str) -> Outcome<String> {
    let vbds = state.db.get(Cls::Vm, vm, "VBDs")?.refs();
    let used: Vec<&str> = vbds
        .iter()
        .filter_map(|vbd| state.db.get(Cls::Vbd, vbd, "userdevice").ok())
        .map(Value::as_str)
        .collect();
    if wish == "autodetect" || wish.is_empty() {
        let free = (0..16).map(|n| n.to_string()).find(|n| !used.contains(&n.as_str()));
        return free.ok_or_else(|| Failure::new("INVALID_DEVICE", [wish]));
    }
    let letter = wish
        .strip_prefix("xvd")
        .or_else(|| wish.strip_prefix("hd"))
        .or_else(|| wish.strip_prefix("sd"));
    let number = match letter.and_then(|l| l.bytes().next()) {
        Some(letter) if letter.is_ascii_lowercase() => Some(letter - b'a'),
        Some(_) => None,
        None => wish.parse().ok(),
    };
    let Some(number) = number else {
        return Err(Failure::new("INVALID_DEVICE", [wish]));
    };
    let device = number.to_string();
    if used.contains(&device.as_str()) {
        return Err(Failure::new("DEVICE_ALREADY_EXISTS", [&device]));
    }
    Ok(device)
}

/// Gives a VM a disk.
pub(crate) fn attach_disk(state: &mut State, vm: &Ref, vdi: &Ref, device: &str) -> Ref {
    let vbd = state.random.reference();
    let uuid = state.random.uuid();
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("VM", Value::from(vm)),
        ("VDI", Value::from(vdi)),
        ("userdevice", Value::str(device)),
        ("bootable", Value::Bool(device == "0")),
        ("mode", Value::str("RW")),
        ("type", Value::str("Disk")),
        ("unpluggable", Value::Bool(true)),
        ("empty", Value::Bool(false)),
        ("other_config", Value::map([("owner", "")])),
        ("qos_algorithm_params", no_map()),
    ];
    state.db.create(Cls::Vbd, &vbd, fields);
    operations::refresh_vm(&mut state.db, vm);
    vbd
}

fn destroy(state: &mut State, vbd: &Ref) -> Outcome<()> {
    let record = state.db.record(Cls::Vbd, vbd)?.clone();
    if record.bool("currently_attached") {
        let text = format!("VBD '{}' still attached to '{}'", record.str("uuid"), record.str("VM"));
        return Err(Failure::new("OPERATION_NOT_ALLOWED", [&text]));
    }
    state.db.delete(Cls::Vbd, vbd);
    operations::refresh(&mut state.db, Cls::Vm, &record.reference("VM"));
    operations::refresh(&mut state.db, Cls::Vdi, &record.reference("VDI"));
    Ok(())
}

fn check_plug(state: &State, vbd: &Ref, attach: bool) -> Outcome<()> {
    let record = state.db.record(Cls::Vbd, vbd)?;
    let vm = record.reference("VM");
    let actual = state.db.get(Cls::Vm, &vm, "power_state")?.as_str();
    if actual != "Running" {
        return Err(Failure::new(
            "VM_BAD_POWER_STATE",
            [vm.as_str(), "running", &actual.to_lowercase()],
        ));
    }
    match (attach, record.bool("currently_attached")) {
        (true, true) => return Err(Failure::new("DEVICE_ALREADY_ATTACHED", [vbd.as_str()])),
        (false, false) => return Err(Failure::new("DEVICE_ALREADY_DETACHED", [vbd.as_str()])),
        (true, false) | (false, true) => {}
    }
    if !attach {
        let metrics = state.db.get(Cls::Vm, &vm, "guest_metrics")?.as_ref();
        let drivers = state
            .db
            .get(Cls::VmGuestMetrics, &metrics, "PV_drivers_detected")
            .is_ok_and(Value::as_bool);
        if record.str("type") == "Disk" && !drivers {
            return Err(Failure::new(
                "DEVICE_DETACH_REJECTED",
                ["VBD", vbd.as_str(), "the guest has no drivers"],
            ));
        }
        return Ok(());
    }
    in_use_elsewhere(state, vbd, record)
}

fn in_use_elsewhere(state: &State, vbd: &Ref, record: &Record) -> Outcome<()> {
    let vdi = record.reference("VDI");
    let Ok(disk) = state.db.record(Cls::Vdi, &vdi) else {
        return Ok(());
    };
    if disk.bool("sharable") || disk.bool("read_only") || record.str("mode") == "RO" {
        return Ok(());
    }
    let others = disk.refs("VBDs").into_iter().filter(|other| other != vbd);
    let attached = |other: Ref| {
        state
            .db
            .get(Cls::Vbd, &other, "currently_attached")
            .is_ok_and(Value::as_bool)
    };
    if others.into_iter().any(attached) {
        Err(Failure::new("VDI_IN_USE", [vdi.as_str(), "attach"]))
    } else {
        Ok(())
    }
}

async fn plug(ctx: &Context, vbd: &Ref, attach: bool) -> Outcome<()> {
    ctx.with(|state| check_plug(state, vbd, attach))?;
    ctx.spend(ctx.pool.latencies.hotplug_ms).await?;
    ctx.with(|state| {
        check_plug(state, vbd, attach)?;
        let record = state.db.record(Cls::Vbd, vbd)?.clone();
        state.db.set(Cls::Vbd, vbd, "currently_attached", Value::Bool(attach))?;
        if let Some(disk) = state.disks.get_mut(&record.reference("VDI")) {
            disk.written = true;
        }
        operations::refresh(&mut state.db, Cls::Vbd, vbd);
        operations::refresh(&mut state.db, Cls::Vdi, &record.reference("VDI"));
        Ok(())
    })
}

fn insert(state: &mut State, vbd: &Ref, vdi: Option<&Ref>) -> Outcome<()> {
    let record = state.db.record(Cls::Vbd, vbd)?.clone();
    if record.str("type") != "CD" {
        return Err(Failure::new("VBD_NOT_REMOVABLE_MEDIA", [vbd.as_str()]));
    }
    match vdi {
        Some(_) if !record.bool("empty") => return Err(Failure::new("VBD_NOT_EMPTY", [vbd.as_str()])),
        None if record.bool("empty") => return Err(Failure::new("VBD_IS_EMPTY", [vbd.as_str()])),
        Some(vdi) => {
            state.db.record(Cls::Vdi, vdi)?;
        }
        None => {}
    }
    let null = Ref::null();
    state.db.set(Cls::Vbd, vbd, "VDI", Value::from(vdi.unwrap_or(&null)))?;
    state.db.set(Cls::Vbd, vbd, "empty", Value::Bool(vdi.is_none()))?;
    operations::refresh(&mut state.db, Cls::Vbd, vbd);
    Ok(())
}
