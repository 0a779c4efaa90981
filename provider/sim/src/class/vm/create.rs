//! `VM.create`, `VM.destroy`, `VM.provision`, `VM.set_is_a_template`.

use super::{begin, begin_with};
use crate::class::{constructor, member, vdi};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::ops::{self, Mark};
use crate::pool::State;
use crate::value::Value;

/// Adds a VM from a record alone; nothing is checked before it starts.
pub(super) fn create(state: &mut State, argument: &Value) -> Outcome<Ref> {
    let mut fields = constructor(Cls::Vm, argument)?;
    let vm = state.random.reference();
    let uuid = state.random.uuid();
    let mut other_config = member(&fields, "other_config").as_map();
    if !other_config.contains_key("mac_seed") {
        other_config.insert("mac_seed".into(), Value::from(state.random.uuid()));
    }
    let metrics = add_metrics(state);
    let power_state = match member(&fields, "power_state").as_str() {
        "Suspended" => "Suspended",
        _ => "Halted",
    };
    fields.extend([
        ("uuid", Value::from(uuid)),
        ("domid", Value::Int(-1)),
        ("power_state", Value::str(power_state)),
        ("metrics", Value::from(metrics)),
        ("other_config", Value::Map(other_config)),
        ("blocked_operations", crate::class::no_map()),
    ]);
    state.db.create(Cls::Vm, &vm, fields);
    operations::refresh_vm(&mut state.db, &vm);
    Ok(vm)
}

fn add_metrics(state: &mut State) -> Ref {
    let metrics = state.random.reference();
    let uuid = state.random.uuid();
    let now = Value::Time(state.wall);
    let fields = vec![("uuid", Value::from(uuid)), ("last_updated", now)];
    state.db.create(Cls::VmMetrics, &metrics, fields);
    metrics
}

/// Removes a VM with its devices and metrics; its disks and snapshots stay.
pub(super) async fn destroy(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let running = begin(ctx, vm, "destroy").await?;
    let checked = ctx.with(|state| {
        let record = state.db.record(Cls::Vm, vm)?;
        let is_default =
            record.bool("is_default_template") || record.get("other_config").key("default_template") == Some("true");
        if record.bool("is_a_template") && is_default {
            return Err(Failure::new("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", [vm.as_str()]));
        }
        remove(state, vm);
        Ok(())
    });
    drop(running);
    checked
}

/// Removes a VM's rows, with those of its devices and metrics.
pub(crate) fn remove(state: &mut State, vm: &Ref) {
    let Ok(record) = state.db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    let db = &mut state.db;
    for vif in record.refs("VIFs") {
        if let Ok(vif) = db.record(Cls::Vif, &vif) {
            state.leases.release(vif.str("MAC"));
        }
        db.delete(Cls::Vif, &vif);
    }
    for vbd in record.refs("VBDs") {
        let disk = db.get(Cls::Vbd, &vbd, "VDI").map(Value::as_ref);
        db.delete(Cls::Vbd, &vbd);
        if let Ok(disk) = disk {
            operations::refresh(db, Cls::Vdi, &disk);
        }
    }
    for console in record.refs("consoles") {
        db.delete(Cls::Console, &console);
    }
    db.delete(Cls::VmMetrics, &record.reference("metrics"));
    db.delete(Cls::VmGuestMetrics, &record.reference("guest_metrics"));
    db.delete(Cls::Vm, vm);
    state.muted.remove(vm);
    state.boots.remove(vm);
}

/// Makes a template a VM or back, without any lock.
pub(super) fn set_is_a_template(state: &mut State, vm: &Ref, template: bool) -> Outcome<()> {
    let record = state.db.record(Cls::Vm, vm)?.clone();
    if template {
        if record.str("power_state") != "Halted" {
            let actual = record.str("power_state").to_lowercase();
            return Err(Failure::new("VM_BAD_POWER_STATE", [vm.as_str(), "halted", &actual]));
        }
        if record.bool("is_control_domain") {
            return Err(Failure::new(
                "OPERATION_NOT_ALLOWED",
                ["A control domain cannot be a template"],
            ));
        }
        state.db.delete(Cls::VmMetrics, &record.reference("metrics"));
        state.db.set(Cls::Vm, vm, "metrics", Value::from(Ref::null()))?;
    } else {
        if record.bool("is_a_snapshot") {
            return Err(Failure::new("VM_IS_SNAPSHOT", [vm.as_str(), "set_is_a_template"]));
        }
        let metrics = record.reference("metrics");
        let metrics = if state.db.exists(Cls::VmMetrics, &metrics) {
            metrics
        } else {
            add_metrics(state)
        };
        let now = Value::Time(state.wall);
        state.db.set_if(Cls::VmMetrics, &metrics, "install_time", now);
        state.db.set(Cls::Vm, vm, "metrics", Value::from(metrics))?;
    }
    state.db.set(Cls::Vm, vm, "is_a_template", Value::Bool(template))?;
    operations::refresh_vm(&mut state.db, vm);
    Ok(())
}

/// Makes the disks that the template's provision XML asks for; one at a time per host.
pub(super) async fn provision(ctx: &Context, vm: &Ref) -> Outcome<()> {
    let host = ctx.with(|state| state.host_refs.first().cloned().unwrap_or_else(Ref::null));
    let exclusive = Mark::new(Cls::Host, &host, "provision");
    let busy_host = host.clone();
    let on_host = ops::begin(ctx, vec![exclusive], ops::STANDARD, move |state| {
        let current = state.db.get(Cls::Host, &busy_host, "current_operations")?.as_map();
        match current.iter().find(|(_, op)| op.as_str() == "provision") {
            None => Ok(()),
            Some((key, op)) => Err(ops::in_progress(Cls::Host, &busy_host, op.as_str(), key)),
        }
    })
    .await?;
    let running = begin_with(ctx, vm, "provision", Vec::new()).await?;
    let wishes = ctx.with(|state| {
        state
            .db
            .get(Cls::Vm, vm, "other_config")
            .map(|c| c.key("disks").map(str::to_owned))
    })?;
    for (device, size, sr) in wishes.as_deref().map(disk_wishes).unwrap_or_default() {
        let sr = ctx.with(|state| {
            let named = state.db.by_uuid(Cls::Sr, &sr).cloned();
            named.map_or_else(
                || {
                    state
                        .db
                        .get(Cls::Pool, &state.db.pool(), "default_SR")
                        .map(Value::as_ref)
                },
                Ok,
            )
        })?;
        let disk = vdi::create_plain(ctx, &sr, size).await?;
        ctx.with(|state| crate::class::vbd::attach_disk(state, vm, &disk, &device));
    }
    ctx.with(|state| {
        state.db.edit_map(Cls::Vm, vm, "other_config", |map| {
            map.remove("disks");
        })?;
        set_is_a_template(state, vm, false)
    })?;
    drop((running, on_host));
    Ok(())
}

/// Reads `<provision><disk device="0" size="..." sr="..." .../></provision>`.
fn disk_wishes(xml: &str) -> Vec<(String, i64, String)> {
    let attribute = |tag: &str, name: &str| {
        let after = tag.split_once(&format!("{name}=\""))?.1;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    xml.split("<disk ")
        .skip(1)
        .filter_map(|tag| {
            let size = attribute(tag, "size")?.parse().ok()?;
            Some((
                attribute(tag, "device")?,
                size,
                attribute(tag, "sr").unwrap_or_default(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provision_xml_reads() {
        let xml = r#"<provision><disk device="0" size="8589934592" sr="" bootable="true" type="system"/></provision>"#;
        assert_eq!(disk_wishes(xml), [("0".to_owned(), 8_589_934_592, String::new())]);
    }
}
