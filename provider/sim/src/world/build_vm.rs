//! From a world to database rows: templates and the VMs that exist already.

use std::sync::Arc;

use super::build::{ByName, GIB, MIB, add};
use super::default_templates::DEFAULT_TEMPLATES;
use super::{PoolSpec, TemplateSpec, VmSpec};
use crate::class::vif::derived_mac;
use crate::class::vm::{Begin, running};
use crate::class::{no_map, sr, vbd};
use crate::db::{Cls, Ref};
use crate::guest::{self, Disk};
use crate::operations;
use crate::pool::State;
use crate::value::Value;

/// Adds the templates that every pool has.
pub(super) fn add_default_templates(state: &mut State) {
    for (name, gib) in DEFAULT_TEMPLATES {
        let bytes = gib * 1024 * 1024 * 1024;
        let disk = format!(r#"<disk device="0" size="{bytes}" sr="" bootable="true" type="system"/>"#);
        let xml = if *gib == 0 {
            "<provision/>".to_owned()
        } else {
            format!("<provision>{disk}</provision>")
        };
        let other_config = [
            ("default_template", "true"),
            ("disks", &xml),
            ("linux_template", "true"),
        ];
        let spec = TemplateSpec {
            memory_mib: 2048,
            ..TemplateSpec::default()
        };
        let mut fields = fields(&spec);
        fields.extend([
            ("name_label", Value::str(name)),
            ("is_a_template", Value::Bool(true)),
            ("is_default_template", Value::Bool(true)),
            ("other_config", Value::map(other_config)),
        ]);
        let vm = add(state, Cls::Vm, fields);
        operations::refresh(&mut state.db, Cls::Vm, &vm);
    }
}

/// Adds the templates of the world.
pub(super) fn add_templates(state: &mut State, spec: &PoolSpec, srs: &ByName, networks: &ByName) -> ByName {
    let mut templates = ByName::new();
    for (name, template) in &spec.templates {
        let vm = add_vm(state, name, template, spec, srs, networks);
        state.db.set_if(Cls::Vm, &vm, "is_a_template", Value::Bool(true));
        if let Some(ip) = &template.stale_ip {
            let networks = Value::map([("0/ip", ip.as_str()), ("0/ipv4/0", ip.as_str())]);
            let metrics = add(state, Cls::VmGuestMetrics, vec![("networks", networks)]);
            guest::drivers(state, &metrics, &template.guest);
            state.db.set_if(Cls::Vm, &vm, "guest_metrics", Value::from(metrics));
        }
        operations::refresh_vm(&mut state.db, &vm);
        templates.insert(name.clone(), vm);
    }
    templates
}

/// Adds the VMs of the world, running ones with their addresses.
pub(super) fn add_vms(state: &mut State, spec: &PoolSpec, srs: &ByName, networks: &ByName, templates: &ByName) {
    let mut position = 0;
    for (name, vm) in &spec.vms {
        let Some(template) = spec
            .templates
            .get(&vm.template)
            .filter(|_| templates.contains_key(&vm.template))
        else {
            continue;
        };
        let mut template = template.clone();
        template.memory_mib = vm.memory_mib.unwrap_or(template.memory_mib);
        template.cpus = vm.cpus.unwrap_or(template.cpus);
        template.tags.clone_from(&vm.tags);
        template.other_config.clone_from(&vm.other_config);
        for number in 1..=vm.count {
            let label = if vm.count == 1 {
                name.clone()
            } else {
                format!("{name}-{number}")
            };
            let made = add_vm(state, &label, &template, spec, srs, networks);
            let metrics = add(state, Cls::VmMetrics, vec![("install_time", Value::Time(state.wall))]);
            state.db.set_if(Cls::Vm, &made, "metrics", Value::from(metrics));
            if vm.running {
                run(state, &made, &template, position);
                position += 1;
            }
            add_snapshots(state, &made, vm, &template, spec, srs, networks);
            operations::refresh_vm(&mut state.db, &made);
        }
    }
}

fn run(state: &mut State, vm: &Ref, template: &TemplateSpec, position: usize) {
    let hosts = state.host_refs.len().max(1);
    let Some(host) = state.host_refs.get(position % hosts).cloned() else {
        return;
    };
    if let Ok(overhead) = crate::class::vm::placement::overhead(&state.db, vm) {
        state.db.set_if(Cls::Vm, vm, "memory_overhead", Value::Int(overhead));
    }
    crate::class::vm::attach_devices(state, vm, true);
    running(state, vm, &host, Begin::Start, false);
    let metrics = state
        .db
        .get(Cls::Vm, vm, "guest_metrics")
        .map_or_else(|_| Ref::null(), Value::as_ref);
    if template.guest.no_agent {
        return;
    }
    guest::drivers(state, &metrics, &template.guest);
    if !template.guest.never
        && let Some(last) = guest::stages(state, vm, &template.guest).pop()
    {
        state
            .db
            .set_if(Cls::VmGuestMetrics, &metrics, "networks", last.networks);
    }
    operations::refresh(&mut state.db, Cls::Vm, vm);
}

fn add_snapshots(
    state: &mut State,
    vm: &Ref,
    spec: &VmSpec,
    template: &TemplateSpec,
    pool: &PoolSpec,
    srs: &ByName,
    networks: &ByName,
) {
    for number in 1..=spec.snapshots {
        let snapshot = add_vm(state, &format!("snapshot {number}"), template, pool, srs, networks);
        let now = Value::Time(state.wall);
        let db = &mut state.db;
        db.set_if(Cls::Vm, &snapshot, "is_a_snapshot", Value::Bool(true));
        db.set_if(Cls::Vm, &snapshot, "is_a_template", Value::Bool(true));
        db.set_if(Cls::Vm, &snapshot, "snapshot_of", Value::from(vm));
        db.set_if(Cls::Vm, &snapshot, "snapshot_time", now);
        for vbd in db.get(Cls::Vm, &snapshot, "VBDs").map(Value::refs).unwrap_or_default() {
            let disk = db
                .get(Cls::Vbd, &vbd, "VDI")
                .map_or_else(|_| Ref::null(), Value::as_ref);
            db.set_if(Cls::Vdi, &disk, "is_a_snapshot", Value::Bool(true));
        }
        operations::refresh_vm(db, &snapshot);
    }
}

fn fields(spec: &TemplateSpec) -> Vec<(&'static str, Value)> {
    let memory = Value::Int(i64::try_from(spec.memory_mib).unwrap_or(0) * MIB);
    let firmware = if spec.uefi { "uefi" } else { "bios" };
    let mut fields = vec![
        ("name_description", Value::str(&spec.description)),
        ("VCPUs_max", Value::Int(i64::from(spec.cpus))),
        ("VCPUs_at_startup", Value::Int(i64::from(spec.cpus))),
        ("memory_static_max", memory.clone()),
        ("memory_static_min", Value::Int(memory.as_int().min(GIB / 2))),
        ("memory_dynamic_max", memory.clone()),
        ("memory_dynamic_min", memory.clone()),
        ("memory_target", memory),
        ("domid", Value::Int(-1)),
        ("domain_type", Value::str("hvm")),
        ("HVM_boot_policy", Value::str("BIOS order")),
        (
            "HVM_boot_params",
            Value::map([("order", "cdn"), ("firmware", firmware)]),
        ),
        (
            "platform",
            Value::map([
                ("acpi", "1"),
                ("apic", "true"),
                ("pae", "true"),
                ("nx", "true"),
                ("viridian", "false"),
            ]),
        ),
        ("actions_after_shutdown", Value::str("destroy")),
        ("actions_after_reboot", Value::str("restart")),
        ("actions_after_crash", Value::str("restart")),
        ("hardware_platform_version", Value::Int(2)),
        ("has_vendor_device", Value::Bool(false)),
        ("VCPUs_params", no_map()),
        ("tags", Value::strings(&spec.tags)),
        (
            "recommendations",
            Value::str("<restrictions><restriction field=\"vcpus-max\" max=\"64\"/></restrictions>"),
        ),
    ];
    if spec.uefi {
        fields.push((
            "NVRAM",
            Value::map([("EFI-variables", "VkFSUwEAAAAA".repeat(1300).as_str())]),
        ));
    }
    fields
}

fn add_vm(state: &mut State, name: &str, spec: &TemplateSpec, pool: &PoolSpec, srs: &ByName, networks: &ByName) -> Ref {
    let seed = state.random.uuid();
    let mut other_config: Vec<(&str, &str)> = spec
        .other_config
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    other_config.push(("mac_seed", &seed));
    let mut fields = fields(spec);
    fields.push(("name_label", Value::str(name)));
    fields.push(("other_config", Value::map(other_config)));
    let vm = add(state, Cls::Vm, fields);
    let default_sr = pool.srs.iter().find(|(_, sr)| sr.default).map(|(name, _)| name);
    let home = spec.sr.as_ref().or(default_sr).and_then(|name| srs.get(name));
    if let Some(sr) = home {
        for (i, gib) in spec.disks_gib.iter().enumerate() {
            add_disk(state, name, &vm, sr, (i, i64::try_from(*gib).unwrap_or(0) * GIB), spec);
        }
    }
    add_drive(state, &vm);
    for (device, network) in spec.networks.iter().enumerate() {
        let Some(network) = networks.get(network) else { continue };
        let device = device.to_string();
        let fields = vec![
            ("MAC", Value::from(derived_mac(&seed, &device))),
            ("device", Value::from(device)),
            ("VM", Value::from(&vm)),
            ("network", Value::from(network)),
            ("MTU", Value::Int(1500)),
            ("MAC_autogenerated", Value::Bool(true)),
        ];
        add(state, Cls::Vif, fields);
    }
    vm
}

fn add_disk(state: &mut State, name: &str, vm: &Ref, sr: &Ref, disk: (usize, i64), spec: &TemplateSpec) {
    let (index, size) = disk;
    let is_thick = state.db.record(Cls::Sr, sr).is_ok_and(|r| sr::is_thick(r));
    let bytes = if is_thick { size } else { size / 4 };
    let fields = vec![
        ("name_label", Value::from(format!("{name} disk {index}"))),
        ("SR", Value::from(sr)),
        ("type", Value::str("user")),
        ("virtual_size", Value::Int(size)),
        ("physical_utilisation", Value::Int(bytes)),
        ("managed", Value::Bool(true)),
    ];
    let vdi = add(state, Cls::Vdi, fields);
    let location = state.db.get(Cls::Vdi, &vdi, "uuid").cloned().unwrap_or(Value::Void);
    state.db.set_if(Cls::Vdi, &vdi, "location", location);
    sr::take(state, sr, bytes);
    let guest = (index == 0).then(|| Arc::new(spec.guest.clone()));
    state.disks.insert(vdi.clone(), Disk { guest, written: true });
    // Device 3 is the CD drive's.
    let device = if index < 3 { index } else { index + 1 };
    vbd::attach_disk(state, vm, &vdi, &device.to_string());
}

fn add_drive(state: &mut State, vm: &Ref) {
    let fields = vec![
        ("VM", Value::from(vm)),
        ("userdevice", Value::str("3")),
        ("mode", Value::str("RO")),
        ("type", Value::str("CD")),
        ("empty", Value::Bool(true)),
        ("bootable", Value::Bool(false)),
        ("unpluggable", Value::Bool(false)),
    ];
    let drive = add(state, Cls::Vbd, fields);
    operations::refresh(&mut state.db, Cls::Vbd, &drive);
}
