//! `VM.start` and `VM.start_on`: a host, a reservation under the lock, a domain.
//!
//! ```text
//! Halted --reserve--> scheduled_to_be_resident_on --build--> disks and NICs attached --> Running --> guest boots
//! ```
//! `guest_metrics` goes at the start and comes back empty with Running, sometimes twice.

use super::{begin, placement};
use crate::class::host::assert_contact;
use crate::class::message;
use crate::clock::Pace;
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::guest;
use crate::operations;
use crate::ops::{self, Mark};
use crate::pool::State;
use crate::value::Value;

/// Why a domain comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Start,
    Reboot,
    Resume,
}

pub(super) async fn start(ctx: &Context, vm: &Ref, host: Option<Ref>, paused: bool, force: bool) -> Outcome<()> {
    let op = if host.is_some() { "start_on" } else { "start" };
    let _running = begin(ctx, vm, op).await?;
    let host = ctx.with(|state| {
        check_config(state, vm)?;
        check_disks(state, vm)?;
        reserve(state, vm, host.as_ref(), force)
    })?;
    let outcome = build(ctx, vm, &host, paused).await;
    if outcome.is_err() {
        ctx.with(|state| {
            state
                .db
                .set_if(Cls::Vm, vm, "scheduled_to_be_resident_on", Value::from(Ref::null()));
        });
    }
    outcome
}

/// Picks the host, or checks the one asked for, and books the memory on it.
pub(super) fn reserve(state: &mut State, vm: &Ref, host: Option<&Ref>, force: bool) -> Outcome<Ref> {
    let host = match host {
        None => placement::choose(state, vm)?,
        Some(host) => {
            state.db.record(Cls::Host, host)?;
            if !force {
                placement::assert_can_boot_here(&state.db, vm, host)?;
            }
            host.clone()
        }
    };
    let overhead = placement::overhead(&state.db, vm)?;
    state.db.set(Cls::Vm, vm, "memory_overhead", Value::Int(overhead))?;
    state
        .db
        .set(Cls::Vm, vm, "scheduled_to_be_resident_on", Value::from(&host))?;
    Ok(host)
}

fn check_config(state: &State, vm: &Ref) -> Outcome<()> {
    let record = state.db.record(Cls::Vm, vm)?;
    let vcpus = record.int("VCPUs_max");
    if record.int("VCPUs_at_startup") < 1 {
        return Err(Failure::new("VM_NO_VCPUS", [vm.as_str()]));
    }
    let cores = record
        .get("platform")
        .key("cores-per-socket")
        .and_then(|n| n.parse::<i64>().ok());
    if let Some(cores) = cores
        && (cores < 1 || vcpus % cores != 0)
    {
        let params = [&*vcpus.to_string(), &*cores.to_string()];
        return Err(Failure::new("VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE", params));
    }
    let memory = |field: &str| record.int(&format!("memory_{field}"));
    let ordered = memory("static_min") <= memory("dynamic_min")
        && memory("dynamic_min") <= memory("dynamic_max")
        && memory("dynamic_max") <= memory("static_max");
    if ordered {
        Ok(())
    } else {
        Err(Failure::new("MEMORY_CONSTRAINT_VIOLATION_ORDER", []))
    }
}

/// Fails when a disk is lost, written by another VM, or read-only in a guest whose emulated disks cannot be.
fn check_disks(state: &State, vm: &Ref) -> Outcome<()> {
    let is_hvm = state.db.get(Cls::Vm, vm, "domain_type")?.as_str() == "hvm";
    for vbd in state.db.get(Cls::Vm, vm, "VBDs")?.refs() {
        let Ok(record) = state.db.record(Cls::Vbd, &vbd) else {
            continue;
        };
        if record.bool("empty") {
            continue;
        }
        if is_hvm && record.str("type") != "CD" && record.str("mode") == "RO" {
            return Err(Failure::new("DISK_VBD_MUST_BE_READWRITE_FOR_HVM", [vbd.as_str()]));
        }
        let vdi = record.reference("VDI");
        let disk = state.db.record(Cls::Vdi, &vdi)?;
        if disk.bool("missing") {
            return Err(Failure::new("VDI_MISSING", [disk.str("SR"), vdi.as_str()]));
        }
        let shared = disk.bool("sharable") || disk.bool("read_only") || record.str("mode") == "RO";
        let others = disk.refs("VBDs").into_iter().filter(|other| *other != vbd);
        let attached = |other: &Ref| {
            state
                .db
                .get(Cls::Vbd, other, "currently_attached")
                .is_ok_and(Value::as_bool)
        };
        if !shared && others.into_iter().any(|other| attached(&other)) {
            return Err(Failure::new("VDI_IN_USE", [vdi.as_str(), "attach"]));
        }
    }
    Ok(())
}

async fn build(ctx: &Context, vm: &Ref, host: &Ref, paused: bool) -> Outcome<()> {
    ctx.with(|state| assert_contact(state, host))?;
    let devices = ctx.with(|state| device_marks(state, vm));
    let mut marks = vec![Mark::new(Cls::Host, host, "vm_start")];
    marks.extend(devices);
    let running_marks = ops::begin(ctx, marks, ops::SHORT, |_| Ok(())).await?;
    // The domain builder works on four domains at once per host.
    let workers = ctx.with(|state| state.workers.entry(host.clone()).or_insert_with(four).clone());
    let worker = ctx.pool.clock.park(workers.acquire_owned()).await;
    ctx.with(|state| {
        let old = state.db.get(Cls::Vm, vm, "guest_metrics").map(Value::as_ref);
        if let Ok(old) = old {
            state.db.delete(Cls::VmGuestMetrics, &old);
        }
        state.db.set_if(Cls::Vm, vm, "guest_metrics", Value::from(Ref::null()));
    });
    let time = ctx.pool.pick(ctx.pool.latencies.vm_start_ms);
    ctx.spend_exactly(time.mul_f64(0.7)).await?;
    ctx.progress(0.7);
    ctx.with(|state| attach_devices(state, vm, true));
    ctx.pool.clock.sleep(time.mul_f64(0.3), Pace::Work).await;
    ctx.with(|state| {
        running(state, vm, host, Begin::Start, paused);
        if paused {
            return;
        }
        note_running(ctx, state, vm);
        message::about_vm(state, vm, "VM_STARTED");
    });
    drop((worker, running_marks));
    if !paused {
        guest::boot(&ctx.pool, vm);
    }
    Ok(())
}

/// Workers of a host that has none yet.
pub(super) fn four() -> std::sync::Arc<tokio::sync::Semaphore> {
    std::sync::Arc::new(tokio::sync::Semaphore::new(4))
}

fn device_marks(state: &State, vm: &Ref) -> Vec<Mark> {
    let refs = |field| state.db.get(Cls::Vm, vm, field).map(Value::refs).unwrap_or_default();
    let vbds = refs("VBDs").into_iter().map(|vbd| Mark::new(Cls::Vbd, &vbd, "attach"));
    let vifs = refs("VIFs").into_iter().map(|vif| Mark::new(Cls::Vif, &vif, "attach"));
    vbds.chain(vifs).collect()
}

/// Notes for the bench when a VM was first seen Running after this start.
pub(super) fn note_running(ctx: &Context, state: &mut State, vm: &Ref) {
    let Ok(uuid) = state.db.get(Cls::Vm, vm, "uuid").map(|v| v.as_str().to_owned()) else {
        return;
    };
    let instants = state.instants.entry(uuid).or_default();
    instants.running_us = Some(ctx.pool.clock.real_us());
    instants.address_us = None;
}

/// Attaches or detaches all disks and NICs.
pub(crate) fn attach_devices(state: &mut State, vm: &Ref, attached: bool) {
    let Ok(record) = state.db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    for vif in record.refs("VIFs") {
        state
            .db
            .set_if(Cls::Vif, &vif, "currently_attached", Value::Bool(attached));
    }
    for vbd in record.refs("VBDs") {
        let Ok(device) = state.db.record(Cls::Vbd, &vbd).cloned() else {
            continue;
        };
        state
            .db
            .set_if(Cls::Vbd, &vbd, "currently_attached", Value::Bool(attached));
        let number: u8 = device.str("userdevice").parse().unwrap_or(0);
        let name = if attached {
            format!("xvd{}", char::from(b'a' + number.min(15)))
        } else {
            String::new()
        };
        state.db.set_if(Cls::Vbd, &vbd, "device", name);
        if let Some(disk) = state.disks.get_mut(&device.reference("VDI")) {
            disk.written = true;
        }
    }
}

/// Writes all that is so once a domain runs.
pub(crate) fn running(state: &mut State, vm: &Ref, host: &Ref, why: Begin, paused: bool) {
    let Ok(record) = state.db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    state.next_domid += 1;
    let domid = state.next_domid;
    let now = Value::Time(state.wall);
    if why != Begin::Resume {
        *state.boots.entry(vm.clone()).or_default() = u64::try_from(domid).unwrap_or(0);
        let metrics = add_guest_metrics(state);
        state.db.delete(Cls::VmGuestMetrics, &record.reference("guest_metrics"));
        state.db.set_if(Cls::Vm, vm, "guest_metrics", Value::from(metrics));
    }
    if why != Begin::Reboot {
        add_console(state, vm, &record);
    }
    fill_platform(state, vm, &record);
    let vm_metrics = record.reference("metrics");
    if why != Begin::Resume {
        state.db.set_if(Cls::VmMetrics, &vm_metrics, "start_time", now.clone());
    }
    state.db.set_if(Cls::VmMetrics, &vm_metrics, "last_updated", now);
    state.db.set_if(Cls::VmMetrics, &vm_metrics, "hvm", Value::Bool(true));
    state
        .db
        .set_if(Cls::VmMetrics, &vm_metrics, "current_domain_type", "hvm");
    state.db.set_if(
        Cls::VmMetrics,
        &vm_metrics,
        "VCPUs_number",
        record.get("VCPUs_at_startup").clone(),
    );
    state.db.set_if(
        Cls::VmMetrics,
        &vm_metrics,
        "memory_actual",
        record.get("memory_dynamic_max").clone(),
    );
    let db = &mut state.db;
    db.set_if(Cls::Vm, vm, "domid", Value::Int(domid));
    db.set_if(Cls::Vm, vm, "resident_on", Value::from(host));
    db.set_if(Cls::Vm, vm, "scheduled_to_be_resident_on", Value::from(Ref::null()));
    db.set_if(Cls::Vm, vm, "memory_target", record.get("memory_dynamic_max").clone());
    db.set_if(Cls::Vm, vm, "power_state", if paused { "Paused" } else { "Running" });
    operations::refresh_vm(db, vm);
}

/// An empty record, as xapi makes it for any domain; now and then it is replaced at once by a second one.
fn add_guest_metrics(state: &mut State) -> Ref {
    let mut metrics = Ref::null();
    for _ in 0..=state.random.below(2) {
        state.db.delete(Cls::VmGuestMetrics, &metrics);
        metrics = state.random.reference();
        let uuid = state.random.uuid();
        let now = Value::Time(state.wall);
        let fields = vec![
            ("uuid", Value::from(uuid)),
            ("live", Value::Bool(true)),
            ("last_updated", now),
        ];
        state.db.create(Cls::VmGuestMetrics, &metrics, fields);
    }
    metrics
}

fn add_console(state: &mut State, vm: &Ref, record: &crate::db::Record) {
    if !record.refs("consoles").is_empty() {
        return;
    }
    let console = state.random.reference();
    let uuid = state.random.uuid();
    let location = format!("https://host/console?uuid={uuid}");
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("protocol", Value::str("rfb")),
        ("location", Value::from(location)),
        ("VM", Value::from(vm)),
    ];
    state.db.create(Cls::Console, &console, fields);
}

/// The first start fixes the device model and the BIOS strings.
fn fill_platform(state: &mut State, vm: &Ref, record: &crate::db::Record) {
    let mut platform = record.get("platform").as_map();
    if !platform.contains_key("device-model") {
        platform.insert("device-model".into(), Value::str("qemu-upstream-compat"));
        state.db.set_if(Cls::Vm, vm, "platform", platform);
    }
    if record.get("bios_strings").as_map().is_empty() {
        let strings = [
            ("bios-vendor", "Xen"),
            ("bios-version", ""),
            ("system-manufacturer", "Xen"),
            ("system-product-name", "HVM domU"),
            ("system-version", ""),
            ("system-serial-number", ""),
            ("enclosure-asset-tag", ""),
            ("hp-rombios", ""),
            ("oem-1", "Xen"),
            ("oem-2", "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d"),
        ];
        state.db.set_if(Cls::Vm, vm, "bios_strings", Value::map(strings));
    }
}
