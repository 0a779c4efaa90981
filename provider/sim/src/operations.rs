//! Which operation an object allows in which state, and with which failure it refuses the others.

use crate::db::{Cls, Db, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::ops::in_progress;
use crate::value::Value;

/// Operations of a VM and the power states that allow them, in the order in which failures list the states.
const VM_STATES: &[(&str, &[&str])] = &[
    ("snapshot", &["Halted", "Paused", "Suspended", "Running"]),
    ("clone", &["Halted"]),
    ("copy", &["Halted"]),
    ("create_template", &["Halted"]),
    ("revert", &["Halted", "Paused", "Suspended", "Running"]),
    ("checkpoint", &["Running"]),
    ("provision", &["Halted"]),
    ("start", &["Halted"]),
    ("start_on", &["Halted"]),
    ("pause", &["Running"]),
    ("unpause", &["Paused"]),
    ("clean_shutdown", &["Running"]),
    ("clean_reboot", &["Running"]),
    ("hard_shutdown", &["Paused", "Suspended", "Running"]),
    ("power_state_reset", &["Halted", "Paused", "Suspended", "Running"]),
    ("hard_reboot", &["Paused", "Running"]),
    ("suspend", &["Running"]),
    ("resume", &["Suspended"]),
    ("resume_on", &["Suspended"]),
    ("pool_migrate", &["Running"]),
    ("migrate_send", &["Halted", "Suspended", "Running"]),
    ("make_into_template", &["Halted"]),
    ("destroy", &["Halted", "Suspended"]),
    ("export", &["Halted", "Suspended"]),
    ("metadata_export", &["Halted", "Paused", "Suspended", "Running"]),
    ("changing_memory_limits", &["Halted"]),
    ("changing_static_range", &["Halted"]),
    ("changing_dynamic_range", &["Halted", "Running"]),
    ("changing_shadow_memory", &["Halted"]),
    ("changing_VCPUs", &["Halted"]),
    ("changing_VCPUs_live", &["Running"]),
    ("changing_NVRAM", &["Halted"]),
    ("send_sysrq", &["Running"]),
    ("send_trigger", &["Running"]),
];

/// Operations that a template allows.
const OF_TEMPLATES: &[&str] = &[
    "clone",
    "copy",
    "provision",
    "export",
    "metadata_export",
    "destroy",
    "changing_memory_limits",
    "changing_static_range",
    "changing_dynamic_range",
    "changing_shadow_memory",
    "changing_VCPUs",
    "changing_NVRAM",
];

/// Operations that a snapshot allows.
const OF_SNAPSHOTS: &[&str] = &[
    "clone",
    "copy",
    "create_template",
    "revert",
    "export",
    "metadata_export",
    "destroy",
];

/// Whether a VM allows an operation now; the order of the refusals is the server's.
pub(crate) fn check_vm(db: &Db, vm: &Ref, op: &str) -> Outcome<()> {
    let record = db.record(Cls::Vm, vm)?;
    if let Some(code) = record.get("blocked_operations").key(op) {
        return Err(Failure::new("OPERATION_BLOCKED", [vm.as_str(), code]));
    }
    let actual = record.str("power_state");
    let states = VM_STATES
        .iter()
        .find(|(name, _)| *name == op)
        .map_or(&[][..], |(_, states)| states);
    let is_snapshot = record.bool("is_a_snapshot");
    let fits = states.is_empty() || states.contains(&actual) || (is_snapshot && op != "start");
    if !fits {
        let expected = states.join(", ").to_lowercase();
        return Err(Failure::new(
            "VM_BAD_POWER_STATE",
            [vm.as_str(), &expected, &actual.to_lowercase()],
        ));
    }
    let current = record.get("current_operations").as_map();
    let running: Vec<&str> = current.values().map(Value::as_str).collect();
    if !may_join(op, &running)
        && let Some((key, other)) = current.iter().next()
    {
        return Err(in_progress(Cls::Vm, vm, other.as_str(), key));
    }
    if is_snapshot && !OF_SNAPSHOTS.contains(&op) {
        return Err(Failure::new("VM_IS_SNAPSHOT", [vm.as_str(), op]));
    }
    if !is_snapshot && record.bool("is_a_template") && !OF_TEMPLATES.contains(&op) {
        return Err(Failure::new("VM_IS_TEMPLATE", [vm.as_str(), op]));
    }
    if record.bool("is_control_domain") && !["changing_VCPUs_live", "changing_dynamic_range"].contains(&op) {
        return Err(Failure::new(
            "OPERATION_NOT_ALLOWED",
            ["Operations on control domains are not allowed"],
        ));
    }
    check_features(db, record, vm, op)
}

/// Whether an operation may begin while these are under way.
fn may_join(op: &str, running: &[&str]) -> bool {
    let all_in = |set: &[&str]| set.contains(&op) && running.iter().all(|r| set.contains(r));
    match op {
        _ if running.is_empty() => true,
        "hard_shutdown" => !running.contains(&op),
        "hard_reboot" => !running.iter().any(|r| ["hard_shutdown", "hard_reboot"].contains(r)),
        _ => all_in(&["clone", "copy", "export"]) || all_in(&["snapshot", "checkpoint"]),
    }
}

/// Clean operations need a guest that listens.
fn check_features(db: &Db, record: &Record, vm: &Ref, op: &str) -> Outcome<()> {
    if ![
        "clean_shutdown",
        "clean_reboot",
        "suspend",
        "pool_migrate",
        "checkpoint",
    ]
    .contains(&op)
    {
        return Ok(());
    }
    if record.str("power_state") != "Running" {
        return Ok(());
    }
    let metrics = db.record(Cls::VmGuestMetrics, &record.reference("guest_metrics"));
    let has_drivers = metrics.is_ok_and(|gm| gm.bool("PV_drivers_detected"));
    if has_drivers {
        Ok(())
    } else {
        Err(Failure::new("VM_LACKS_FEATURE", [vm.as_str()]))
    }
}

/// Writes an object's `allowed_operations` anew.
pub(crate) fn refresh(db: &mut Db, cls: Cls, reference: &Ref) {
    let Ok(record) = db.record(cls, reference) else {
        return;
    };
    let allowed = match cls {
        Cls::Vm => vm_allowed(db, reference),
        Cls::Vbd => device_allowed(db, record, true),
        Cls::Vif => device_allowed(db, record, false),
        Cls::Vdi => vdi_allowed(db, record),
        Cls::Sr => sr_allowed(record),
        Cls::Host => host_allowed(record),
        Cls::Task => {
            if record.str("status") == "pending" {
                vec!["cancel"]
            } else {
                vec![]
            }
        }
        _ => return,
    };
    db.set_if(cls, reference, "allowed_operations", Value::strings(allowed));
}

/// Writes `allowed_operations` of a VM and its devices anew.
pub(crate) fn refresh_vm(db: &mut Db, vm: &Ref) {
    refresh(db, Cls::Vm, vm);
    let Ok(record) = db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    for vbd in record.refs("VBDs") {
        refresh(db, Cls::Vbd, &vbd);
        let vdi = db.get(Cls::Vbd, &vbd, "VDI").map(Value::as_ref);
        if let Ok(vdi) = vdi {
            refresh(db, Cls::Vdi, &vdi);
        }
    }
    for vif in record.refs("VIFs") {
        refresh(db, Cls::Vif, &vif);
    }
}

fn vm_allowed(db: &Db, vm: &Ref) -> Vec<&'static str> {
    VM_STATES
        .iter()
        .map(|(op, _)| *op)
        .filter(|op| check_vm(db, vm, op).is_ok())
        .collect()
}

fn is_busy(record: &Record) -> bool {
    !record.get("current_operations").as_map().is_empty()
}

fn device_allowed(db: &Db, record: &Record, is_disk: bool) -> Vec<&'static str> {
    let mut allowed = Vec::new();
    if is_busy(record) {
        return allowed;
    }
    let state = db
        .get(Cls::Vm, &record.reference("VM"), "power_state")
        .map_or("", Value::as_str);
    let attached = record.bool("currently_attached");
    if is_disk {
        allowed.push("attach");
        if record.str("type") == "CD" {
            allowed.push(if record.bool("empty") { "insert" } else { "eject" });
        }
    } else {
        allowed.push("attach");
    }
    match (state, attached) {
        ("Running", false) => allowed.push("plug"),
        ("Running", true) => allowed.extend(["unplug", "unplug_force"]),
        _ => {}
    }
    allowed
}

fn vdi_allowed(db: &Db, record: &Record) -> Vec<&'static str> {
    let current = record.get("current_operations").as_map();
    if current.values().any(|op| op.as_str() != "copy") {
        return Vec::new();
    }
    let vbds = record.refs("VBDs");
    let in_use = vbds
        .iter()
        .any(|vbd| db.get(Cls::Vbd, vbd, "currently_attached").is_ok_and(Value::as_bool));
    let mut allowed = vec!["snapshot", "clone"];
    if !in_use {
        allowed.extend(["copy", "destroy", "resize", "forget", "update"]);
    }
    allowed
}

fn sr_allowed(record: &Record) -> Vec<&'static str> {
    if is_busy(record) {
        return vec!["plug", "unplug"];
    }
    let all = [
        "vdi_enable_cbt",
        "vdi_list_changed_blocks",
        "unplug",
        "plug",
        "pbd_create",
        "vdi_disable_cbt",
        "update",
        "pbd_destroy",
        "vdi_resize",
        "vdi_clone",
        "vdi_data_destroy",
        "scan",
        "vdi_snapshot",
        "vdi_mirror",
        "vdi_create",
        "vdi_destroy",
        "vdi_set_on_boot",
    ];
    let read_only = matches!(record.str("type"), "iso" | "udev");
    all.into_iter()
        .filter(|op| !read_only || !op.starts_with("vdi_"))
        .collect()
}

fn host_allowed(record: &Record) -> Vec<&'static str> {
    if record.bool("enabled") {
        vec!["provision", "evacuate", "vm_migrate", "vm_resume", "vm_start"]
    } else {
        vec!["power_on", "reboot", "shutdown", "enable"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(fields: Vec<(&str, Value)>) -> (Db, Ref) {
        let mut db = Db::new();
        let reference = Ref::new("OpaqueRef:vm");
        db.create(Cls::Vm, &reference, fields);
        (db, reference)
    }

    #[track_caller]
    fn refuses(fields: Vec<(&str, Value)>, op: &str, description: &[&str]) {
        let (db, reference) = vm(fields);
        assert_eq!(check_vm(&db, &reference, op).unwrap_err().description(), description);
    }

    #[test]
    fn expected_states_are_listed_in_the_servers_words() {
        let running = || vec![("power_state", Value::str("Running"))];
        let bad = |expected, actual| ["VM_BAD_POWER_STATE", "OpaqueRef:vm", expected, actual];
        refuses(running(), "start", &bad("halted", "running"));
        refuses(running(), "clone", &bad("halted", "running"));
        refuses(running(), "destroy", &bad("halted, suspended", "running"));
        refuses(vec![], "hard_shutdown", &bad("paused, suspended, running", "halted"));
        refuses(vec![], "clean_shutdown", &bad("running", "halted"));
        refuses(vec![], "pool_migrate", &bad("running", "halted"));
    }

    #[test]
    fn refusals_come_in_order() {
        let mut fields = vec![
            ("power_state", Value::str("Running")),
            ("is_a_template", Value::Bool(true)),
            ("blocked_operations", Value::map([("start", "no")])),
            ("current_operations", Value::map([("OpaqueRef:t", "clone")])),
        ];
        refuses(fields.clone(), "start", &["OPERATION_BLOCKED", "OpaqueRef:vm", "no"]);
        fields.remove(2);
        refuses(
            fields.clone(),
            "start",
            &["VM_BAD_POWER_STATE", "OpaqueRef:vm", "halted", "running"],
        );
        fields.remove(0);
        refuses(
            fields.clone(),
            "start",
            &[
                "OTHER_OPERATION_IN_PROGRESS",
                "VM",
                "OpaqueRef:vm",
                "clone",
                "OpaqueRef:t",
            ],
        );
        fields.remove(1);
        refuses(fields, "start", &["VM_IS_TEMPLATE", "OpaqueRef:vm", "start"]);
    }

    #[test]
    fn clones_run_side_by_side() {
        let (db, reference) = vm(vec![("current_operations", Value::map([("OpaqueRef:t", "clone")]))]);
        assert_eq!(check_vm(&db, &reference, "copy"), Ok(()));
        assert!(check_vm(&db, &reference, "destroy").is_err());
    }
}
