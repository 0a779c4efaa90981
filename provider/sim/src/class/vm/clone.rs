//! `VM.clone`, `VM.copy`, `VM.snapshot`, `VM.checkpoint`: the disks one after the other, then all rows at once.
//!
//! Until then the new disks are without a VM, and the source shows the operation. A failure takes back the disks made so far; a crash of xapi leaves them, without a VM.

use super::{begin, note_created};
use crate::class::vdi::{self, Derived};
use crate::class::{message, vif};
use crate::context::Context;
use crate::db::{Cls, Record, Ref};
use crate::failure::Outcome;
use crate::operations;
use crate::pool::State;
use crate::value::Value;

/// What is made from a VM.
#[derive(Clone, Debug)]
pub(super) enum How {
    Clone,
    /// With disks in another SR; an invalid reference keeps theirs.
    Copy(Ref),
    Snapshot,
    /// A snapshot with the memory image of a VM that is suspended for it.
    Checkpoint,
}

impl How {
    fn op(&self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Copy(_) => "copy",
            Self::Snapshot => "snapshot",
            Self::Checkpoint => "checkpoint",
        }
    }

    fn is_snapshot(&self) -> bool {
        match self {
            Self::Clone | Self::Copy(_) => false,
            Self::Snapshot | Self::Checkpoint => true,
        }
    }

    /// The message that tells people.
    fn word(&self) -> &'static str {
        match self {
            Self::Clone | Self::Copy(_) => "VM_CLONED",
            Self::Snapshot => "VM_SNAPSHOTTED",
            Self::Checkpoint => "VM_CHECKPOINTED",
        }
    }
}

/// What the new VM gets.
#[derive(Default)]
struct Plan {
    /// VBDs of the source, each with the disk that the new one gets.
    devices: Vec<(Record, Ref)>,
    /// The memory image.
    image: Option<Ref>,
    /// Disks that were made for it.
    made: Vec<Ref>,
}

pub(super) async fn derive(ctx: &Context, vm: &Ref, name: &str, how: How) -> Outcome<Ref> {
    let _running = begin(ctx, vm, how.op()).await?;
    make(ctx, vm, name, &how).await
}

/// Makes disks and rows; the operation on the source has begun.
pub(super) async fn make(ctx: &Context, vm: &Ref, name: &str, how: &How) -> Outcome<Ref> {
    let mut plan = Plan::default();
    if let Err(failure) = disks(ctx, vm, how, &mut plan).await {
        take_back(ctx, plan.made).await;
        return Err(failure);
    }
    let copy = ctx.with(|state| rows(state, vm, name, how, plan))?;
    ctx.with(|state| {
        message::about_vm(state, vm, how.word());
        note_created(ctx, state, &copy);
    });
    Ok(copy)
}

async fn disks(ctx: &Context, vm: &Ref, how: &How, plan: &mut Plan) -> Outcome<()> {
    let vbds = ctx.with(|state| sorted_vbds(state, vm))?;
    let count = vbds.len();
    for (i, vbd) in vbds.into_iter().enumerate() {
        let disk = disk_of(ctx, &vbd, how).await?;
        if disk != vbd.reference("VDI") {
            plan.made.push(disk.clone());
        }
        plan.devices.push((vbd, disk));
        #[expect(clippy::cast_precision_loss, reason = "a handful of disks")]
        ctx.progress(0.9 * (i + 1) as f64 / count as f64);
    }
    if matches!(how, How::Checkpoint) {
        let memory = ctx.with(|state| state.db.get(Cls::Vm, vm, "suspend_VDI").map(Value::as_ref))?;
        let image = vdi::derive(ctx, &memory, Derived::Snapshot).await?;
        plan.made.push(image.clone());
        plan.image = Some(image);
    }
    Ok(())
}

/// Removes the disks of a copy that came to nothing.
async fn take_back(ctx: &Context, made: Vec<Ref>) {
    let ctx = Context {
        cancelled: Default::default(),
        ..ctx.clone()
    };
    for disk in made {
        // The first failure is what the caller must see.
        let _ignored = vdi::destroy(&ctx, &disk).await;
    }
}

fn sorted_vbds(state: &State, vm: &Ref) -> Outcome<Vec<Record>> {
    let vbds = state.db.get(Cls::Vm, vm, "VBDs")?.refs();
    let mut vbds: Vec<Record> = vbds
        .iter()
        .filter_map(|v| state.db.record(Cls::Vbd, v).ok())
        .map(|r| (**r).clone())
        .collect();
    vbds.sort_by(|a, b| a.str("userdevice").cmp(b.str("userdevice")));
    Ok(vbds)
}

async fn disk_of(ctx: &Context, vbd: &Record, how: &How) -> Outcome<Ref> {
    let source = vbd.reference("VDI");
    if vbd.str("type") != "Disk" || vbd.bool("empty") {
        return Ok(source);
    }
    match how {
        How::Clone => vdi::derive(ctx, &source, Derived::Clone).await,
        How::Snapshot | How::Checkpoint => vdi::derive(ctx, &source, Derived::Snapshot).await,
        How::Copy(sr) => vdi::copy(ctx, &source, sr).await,
    }
}

/// Fields that a new VM does not take from its source.
const OWN: &[&str] = &[
    "uuid",
    "name_label",
    "power_state",
    "resident_on",
    "scheduled_to_be_resident_on",
    "domid",
    "VBDs",
    "VIFs",
    "consoles",
    "snapshots",
    "children",
    "current_operations",
    "allowed_operations",
    "blocked_operations",
    "blobs",
    "metrics",
    "guest_metrics",
    "is_default_template",
    "is_control_domain",
    "suspend_VDI",
    "crash_dumps",
    "VTPMs",
    "VGPUs",
    "VUSBs",
    "attached_PCIs",
    "groups",
    "appliance",
    "protection_policy",
    "snapshot_schedule",
];

fn rows(state: &mut State, vm: &Ref, name: &str, how: &How, plan: Plan) -> Outcome<Ref> {
    let source = (**state.db.record(Cls::Vm, vm)?).clone();
    let is_snapshot = how.is_snapshot();
    let copy = state.random.reference();
    let mut fields: Vec<(&str, Value)> = source
        .fields()
        .filter(|(f, _)| !OWN.contains(f))
        .map(|(f, v)| (f, v.clone()))
        .collect();
    let uuid = state.random.uuid();
    let other_config = other_config(state, &source, is_snapshot);
    let metrics = copy_metrics(state, &source);
    let guest_metrics = copy_guest_metrics(state, &source);
    fields.extend([
        ("uuid", Value::from(uuid)),
        ("name_label", Value::str(name)),
        ("other_config", other_config),
        ("metrics", Value::from(metrics)),
        ("guest_metrics", Value::from(guest_metrics)),
        ("domid", Value::Int(-1)),
        (
            "power_state",
            Value::str(if plan.image.is_some() { "Suspended" } else { "Halted" }),
        ),
        ("suspend_VDI", Value::from(plan.image.unwrap_or_else(Ref::null))),
        ("affinity", source.get("affinity").clone()),
    ]);
    if is_snapshot {
        fields.extend([
            ("is_a_snapshot", Value::Bool(true)),
            ("is_a_template", Value::Bool(true)),
            ("snapshot_of", Value::from(vm)),
            ("snapshot_time", Value::Time(state.wall)),
            (
                "snapshot_info",
                Value::map([("power-state-at-snapshot", source.str("power_state"))]),
            ),
            ("snapshot_metadata", Value::from(metadata(&source))),
            ("parent", Value::str("OpaqueRef:NULL")),
        ]);
    } else {
        fields.extend([
            ("is_a_snapshot", Value::Bool(false)),
            ("snapshot_of", Value::str("OpaqueRef:NULL")),
            ("snapshot_time", Value::Time(0)),
            ("snapshot_info", crate::class::no_map()),
            ("snapshot_metadata", Value::str("")),
            ("parent", Value::str("OpaqueRef:NULL")),
        ]);
    }
    state.db.create(Cls::Vm, &copy, fields);
    for (vbd, disk) in plan.devices {
        copy_vbd(state, &copy, &vbd, &disk);
    }
    for source_vif in source.refs("VIFs") {
        vif::copy(state, &source_vif, &copy, is_snapshot);
    }
    if is_snapshot {
        state.db.set_if(Cls::Vm, vm, "parent", Value::from(&copy));
    }
    operations::refresh_vm(&mut state.db, &copy);
    Ok(copy)
}

fn other_config(state: &mut State, source: &Record, is_snapshot: bool) -> Value {
    let mut map = source.get("other_config").as_map();
    if is_snapshot {
        return Value::Map(map);
    }
    map.insert("mac_seed".into(), Value::from(state.random.uuid()));
    if source.bool("is_a_template") && !source.bool("is_a_snapshot") {
        map.insert("base_template_name".into(), source.get("name_label").clone());
        map.remove("default_template");
    }
    Value::Map(map)
}

/// What a snapshot carries of the VM, which makes its record as large as it is in real pools.
fn metadata(source: &Record) -> String {
    let fields = source.fields().filter(|(name, _)| *name != "snapshot_metadata");
    let parts: Vec<String> = fields
        .map(|(name, value)| format!("('{name}' '{}')", value.db_string()))
        .collect();
    format!("(('struct') {})", parts.join(" "))
}

fn copy_metrics(state: &mut State, source: &Record) -> Ref {
    let made = state.random.reference();
    let uuid = state.random.uuid();
    let now = Value::Time(state.wall);
    let vcpus = source.get("VCPUs_at_startup").clone();
    let memory = source.get("memory_static_max").clone();
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("VCPUs_number", vcpus),
        ("memory_actual", memory),
        ("install_time", now.clone()),
        ("last_updated", now),
    ];
    state.db.create(Cls::VmMetrics, &made, fields);
    made
}

fn copy_guest_metrics(state: &mut State, source: &Record) -> Ref {
    let Ok(old) = state
        .db
        .record(Cls::VmGuestMetrics, &source.reference("guest_metrics"))
        .cloned()
    else {
        return Ref::null();
    };
    let made = state.random.reference();
    let uuid = state.random.uuid();
    let mut fields: Vec<(&str, Value)> = old.fields().map(|(f, v)| (f, v.clone())).collect();
    fields.push(("uuid", Value::from(uuid)));
    state.db.create(Cls::VmGuestMetrics, &made, fields);
    made
}

fn copy_vbd(state: &mut State, vm: &Ref, source: &Record, disk: &Ref) {
    let vbd = state.random.reference();
    let uuid = state.random.uuid();
    let mut other_config = source.get("other_config").as_map();
    if source.str("type") == "Disk" {
        other_config.insert("owner".into(), Value::str(""));
    }
    let inherited = [
        "userdevice",
        "bootable",
        "mode",
        "type",
        "unpluggable",
        "empty",
        "qos_algorithm_type",
    ];
    let mut fields: Vec<(&str, Value)> = inherited.into_iter().map(|f| (f, source.get(f).clone())).collect();
    fields.extend([
        ("uuid", Value::from(uuid)),
        ("VM", Value::from(vm)),
        ("VDI", Value::from(disk)),
        ("other_config", Value::Map(other_config)),
        ("qos_algorithm_params", source.get("qos_algorithm_params").clone()),
    ]);
    state.db.create(Cls::Vbd, &vbd, fields);
}
