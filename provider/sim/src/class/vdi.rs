//! `VDI`: create, clone, snapshot, copy, resize, destroy. Each holds its SR alone while the backend works.

use crate::class::{constructor, member, sr};
use crate::context::Context;
use crate::db::{Cls, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::guest::Disk;
use crate::operations;
use crate::ops::{self, Mark};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

/// What a thin disk uses when it is new.
pub(crate) const THIN: i64 = 16 << 20;
/// Longest chain of a disk and its bases.
const DEEPEST: usize = 30;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let vdi = args.reference(0);
    Some(match name {
        "create" => create(ctx, args.get(0)).await.map(Value::from),
        "clone" => derive(ctx, &vdi, Derived::Clone).await.map(Value::from),
        "snapshot" => derive(ctx, &vdi, Derived::Snapshot).await.map(Value::from),
        "copy" => copy(ctx, &vdi, &args.reference(1)).await.map(Value::from),
        "destroy" => destroy(ctx, &vdi).await.map(|()| Value::Void),
        "resize" | "resize_online" => resize(ctx, &vdi, args.int(1)).await.map(|()| Value::Void),
        "forget" => ctx.with(|state| forget(state, &vdi)).map(|()| Value::Void),
        "update" => ctx.with(|state| state.db.record(Cls::Vdi, &vdi).map(|_| Value::Void)),
        _ => return None,
    })
}

/// What is made from a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derived {
    Clone,
    Snapshot,
}

async fn create(ctx: &Context, argument: &Value) -> Outcome<Ref> {
    let fields = constructor(Cls::Vdi, argument)?;
    let sr = member(&fields, "SR").as_ref();
    let size = member(&fields, "virtual_size").as_int();
    ctx.with(|state| sr::assert_writable(&state.db, &sr))?;
    if size <= 0 {
        return Err(Failure::new("INVALID_VALUE", ["virtual_size", &size.to_string()]));
    }
    let _running = ops::exclusive(ctx, vec![Mark::new(Cls::Sr, &sr, "vdi_create")], ops::STANDARD).await?;
    let bytes = ctx.with(|state| {
        sr::assert_attached(&state.db, &sr)?;
        let bytes = if sr::is_thick(state.db.record(Cls::Sr, &sr)?) {
            size
        } else {
            THIN
        };
        sr::assert_space(state, &sr, bytes).map(|()| bytes)
    })?;
    ctx.spend(ctx.pool.latencies.vdi_create_ms).await?;
    Ok(ctx.with(|state| add_plain(state, &sr, bytes, fields)))
}

/// Adds an empty disk that takes so many bytes of its SR.
pub(crate) fn add_plain(state: &mut State, sr: &Ref, bytes: i64, mut fields: Vec<(&str, Value)>) -> Ref {
    let vdi = state.random.reference();
    let uuid = state.random.uuid();
    fields.extend([
        ("location", Value::str(&uuid)),
        ("uuid", Value::from(uuid)),
        ("managed", Value::Bool(true)),
        ("physical_utilisation", Value::Int(bytes)),
    ]);
    add_row(state, &vdi, fields);
    sr::take(state, sr, bytes);
    sr::report(state, sr);
    vdi
}

/// Adds a disk's row.
pub(crate) fn add_row(state: &mut State, vdi: &Ref, fields: Vec<(&str, Value)>) {
    state.db.create(Cls::Vdi, vdi, fields);
    operations::refresh(&mut state.db, Cls::Vdi, vdi);
}

/// Removes a disk's row and every VBD that names it.
pub(crate) fn remove_row(state: &mut State, vdi: &Ref) {
    let vbds = state.db.get(Cls::Vdi, vdi, "VBDs").map(Value::refs).unwrap_or_default();
    for vbd in vbds {
        let vm = state.db.get(Cls::Vbd, &vbd, "VM").map(Value::as_ref);
        state.db.delete(Cls::Vbd, &vbd);
        if let Ok(vm) = vm {
            operations::refresh(&mut state.db, Cls::Vm, &vm);
        }
    }
    state.disks.remove(vdi);
    state.contents.remove(vdi);
    state.db.delete(Cls::Vdi, vdi);
}

/// Clones or snapshots a disk.
pub(crate) async fn derive(ctx: &Context, vdi: &Ref, how: Derived) -> Outcome<Ref> {
    let source = ctx.with(|state| assert_usable(state, vdi))?;
    let sr = source.reference("SR");
    let latencies = &ctx.pool.latencies;
    let (sr_op, op, span) = match how {
        Derived::Clone => ("vdi_clone", "clone", latencies.vdi_clone_ms),
        Derived::Snapshot => ("vdi_snapshot", "snapshot", latencies.vdi_snapshot_ms),
    };
    ctx.with(|state| sr::assert_writable(&state.db, &sr))?;
    let marks = vec![Mark::new(Cls::Sr, &sr, sr_op), Mark::new(Cls::Vdi, vdi, op)];
    let _running = ops::exclusive(ctx, marks, ops::STANDARD).await?;
    ctx.with(|state| {
        sr::assert_attached(&state.db, &sr)?;
        if depth(state, vdi) >= DEEPEST {
            let text = "The VDI chain is too long";
            return Err(Failure::new("SR_BACKEND_FAILURE_109", ["", text, ""]));
        }
        let (_, extra) = cost(state, vdi, &sr)?;
        sr::assert_space(state, &sr, extra)
    })?;
    ctx.spend(span).await?;
    ctx.with(|state| branch(state, vdi, &sr, how))
}

/// Fails for disks that no operation may use.
fn assert_usable(state: &State, vdi: &Ref) -> Outcome<Record> {
    let record = state.db.record(Cls::Vdi, vdi)?;
    if !record.bool("managed") {
        return Err(Failure::new("VDI_NOT_MANAGED", [vdi.as_str()]));
    }
    if record.bool("missing") {
        return Err(Failure::new("VDI_MISSING", [record.str("SR"), vdi.as_str()]));
    }
    Ok((**record).clone())
}

fn parent<'a>(state: &'a State, vdi: &Ref) -> Option<&'a str> {
    state.db.get(Cls::Vdi, vdi, "sm_config").ok()?.key("vhd-parent")
}

fn depth(state: &State, vdi: &Ref) -> usize {
    let mut at = vdi.clone();
    let mut depth = 1;
    while let Some(base) = parent(state, &at).and_then(|uuid| state.db.by_uuid(Cls::Vdi, uuid)) {
        at = base.clone();
        depth += 1;
        if depth > DEEPEST {
            break;
        }
    }
    depth
}

/// Whether a disk shares its base as it is, and the bytes that deriving from it takes.
fn cost(state: &State, vdi: &Ref, sr: &Ref) -> Outcome<(bool, i64)> {
    let is_written = state.disks.get(vdi).is_none_or(|disk| disk.written);
    let shares = parent(state, vdi).is_some() && !is_written;
    let size = state.db.get(Cls::Vdi, vdi, "virtual_size")?.as_int();
    let leaf = if sr::is_thick(state.db.record(Cls::Sr, sr)?) {
        size
    } else {
        THIN
    };
    Ok((shares, if shares { leaf } else { 2 * leaf }))
}

/// The rows of a derived disk: an unmodified source shares its base, any other becomes a leaf of a new base.
fn branch(state: &mut State, vdi: &Ref, sr: &Ref, how: Derived) -> Outcome<Ref> {
    let (shares, extra) = cost(state, vdi, sr)?;
    let leaf = if shares { extra } else { extra / 2 };
    let source = (**state.db.record(Cls::Vdi, vdi)?).clone();
    let base_uuid = match parent(state, vdi) {
        Some(uuid) if shares => uuid.to_owned(),
        _ => add_base(state, vdi, &source, leaf)?,
    };
    let copy = state.random.reference();
    let uuid = state.random.uuid();
    let is_snapshot = how == Derived::Snapshot;
    let mut fields = vec![
        ("location", Value::str(&uuid)),
        ("uuid", Value::from(uuid)),
        ("physical_utilisation", Value::Int(leaf)),
        ("sm_config", Value::map([("vhd-parent", base_uuid.as_str())])),
        ("is_a_snapshot", Value::Bool(is_snapshot)),
        ("managed", Value::Bool(true)),
    ];
    if is_snapshot {
        fields.push(("snapshot_of", Value::from(vdi)));
        fields.push(("snapshot_time", Value::Time(state.wall)));
    }
    fields.extend(inherited(&source));
    fields.push(("SR", Value::from(sr)));
    add_row(state, &copy, fields);
    if let Some(disk) = state.disks.get(vdi) {
        let disk = Disk {
            guest: disk.guest.clone(),
            written: false,
        };
        state.disks.insert(copy.clone(), disk);
    }
    sr::take(state, sr, extra);
    sr::report(state, sr);
    Ok(copy)
}

/// Puts an unmanaged base below a disk and makes the disk its leaf.
fn add_base(state: &mut State, vdi: &Ref, source: &Record, leaf: i64) -> Outcome<String> {
    let base = state.random.reference();
    let uuid = state.random.uuid();
    let mut config = source.get("sm_config").as_map();
    let mut fields = vec![
        ("location", Value::str(&uuid)),
        ("uuid", Value::str(&uuid)),
        ("name_label", Value::str("base copy")),
        ("type", Value::str("user")),
        ("SR", source.get("SR").clone()),
        ("virtual_size", source.get("virtual_size").clone()),
        ("physical_utilisation", source.get("physical_utilisation").clone()),
        ("managed", Value::Bool(false)),
        ("read_only", Value::Bool(true)),
    ];
    fields.push(("sm_config", Value::Map(config.clone())));
    add_row(state, &base, fields);
    config.insert("vhd-parent".into(), Value::str(&uuid));
    state.db.set(Cls::Vdi, vdi, "sm_config", config)?;
    state.db.set(Cls::Vdi, vdi, "physical_utilisation", Value::Int(leaf))?;
    if let Some(disk) = state.disks.get_mut(vdi) {
        disk.written = false;
    } else {
        state.disks.insert(
            vdi.clone(),
            Disk {
                guest: None,
                written: false,
            },
        );
    }
    Ok(uuid)
}

fn inherited(source: &Record) -> Vec<(&'static str, Value)> {
    let names = [
        "name_label",
        "name_description",
        "virtual_size",
        "type",
        "sharable",
        "read_only",
        "other_config",
        "xenstore_data",
        "tags",
    ];
    names.into_iter().map(|name| (name, source.get(name).clone())).collect()
}

/// Removes a base that nothing stands on any more.
pub(crate) fn collect_base(state: &mut State, base: &Ref) {
    let Ok(record) = state.db.record(Cls::Vdi, base).cloned() else {
        return;
    };
    let uuid = record.str("uuid");
    let siblings = state
        .db
        .get(Cls::Sr, &record.reference("SR"), "VDIs")
        .map(Value::refs)
        .unwrap_or_default();
    if record.bool("managed") || siblings.iter().any(|vdi| parent(state, vdi) == Some(uuid)) {
        return;
    }
    sr::take(state, &record.reference("SR"), -record.int("physical_utilisation"));
    let below = parent(state, base)
        .and_then(|uuid| state.db.by_uuid(Cls::Vdi, uuid))
        .cloned();
    remove_row(state, base);
    if let Some(below) = below {
        collect_base(state, &below);
    }
}

/// Copies a disk in full to another SR, or inside its own.
pub(crate) async fn copy(ctx: &Context, vdi: &Ref, target: &Ref) -> Outcome<Ref> {
    let source = ctx.with(|state| assert_usable(state, vdi))?;
    let valid = ctx.with(|state| state.db.exists(Cls::Sr, target));
    let sr = if valid { target.clone() } else { source.reference("SR") };
    ctx.with(|state| {
        sr::assert_writable(&state.db, &sr)?;
        sr::assert_attached(&state.db, &sr)?;
        assert_detached(state, vdi)
    })?;
    let marks = vec![Mark::new(Cls::Vdi, vdi, "copy")];
    let source_ref = vdi.clone();
    let _copying = ops::begin(ctx, marks, ops::STANDARD, move |state| only_copies(state, &source_ref)).await?;
    let mut fields = inherited(&source);
    let size = source.int("virtual_size");
    let bytes = ctx.with(|state| {
        let thick = sr::is_thick(state.db.record(Cls::Sr, &sr)?);
        let bytes = if thick {
            size
        } else {
            source.int("physical_utilisation").max(size / 4)
        };
        sr::assert_space(state, &sr, bytes).map(|()| bytes)
    })?;
    // Only making the new disk holds the SR; the data flows beside other operations.
    let making = ops::exclusive(ctx, vec![Mark::new(Cls::Sr, &sr, "vdi_create")], ops::STANDARD).await?;
    ctx.spend(ctx.pool.latencies.vdi_create_ms).await?;
    drop(making);
    let per_gib = ctx.pool.pick(ctx.pool.latencies.vdi_copy_ms_per_gib);
    let gib = u32::try_from((bytes >> 30).max(1)).unwrap_or(u32::MAX);
    ctx.spend_exactly(per_gib.saturating_mul(gib)).await?;
    Ok(ctx.with(|state| {
        let copy = state.random.reference();
        let uuid = state.random.uuid();
        fields.extend([
            ("SR", Value::from(&sr)),
            ("location", Value::str(&uuid)),
            ("uuid", Value::from(uuid)),
            ("physical_utilisation", Value::Int(bytes)),
            ("managed", Value::Bool(true)),
        ]);
        add_row(state, &copy, fields);
        let guest = state.disks.get(vdi).and_then(|disk| disk.guest.clone());
        state.disks.insert(copy.clone(), Disk { guest, written: true });
        sr::take(state, &sr, bytes);
        sr::report(state, &sr);
        copy
    }))
}

fn only_copies(state: &State, vdi: &Ref) -> Outcome<()> {
    let current = state.db.get(Cls::Vdi, vdi, "current_operations")?.as_map();
    match current.iter().find(|(_, op)| op.as_str() != "copy") {
        None => Ok(()),
        Some((key, op)) => Err(ops::in_progress(Cls::Vdi, vdi, op.as_str(), key)),
    }
}

fn assert_detached(state: &State, vdi: &Ref) -> Outcome<()> {
    let vbds = state.db.get(Cls::Vdi, vdi, "VBDs")?.refs();
    let attached = |vbd: &Ref| {
        state
            .db
            .get(Cls::Vbd, vbd, "currently_attached")
            .is_ok_and(Value::as_bool)
    };
    if vbds.iter().any(attached) {
        Err(Failure::new("VDI_IN_USE", [vdi.as_str(), "destroy"]))
    } else {
        Ok(())
    }
}

/// Destroys a disk; its VBDs go with it, whoever they belong to.
pub(crate) async fn destroy(ctx: &Context, vdi: &Ref) -> Outcome<()> {
    let source = ctx.with(|state| assert_usable(state, vdi))?;
    let sr = source.reference("SR");
    ctx.with(|state| sr::assert_writable(&state.db, &sr).and_then(|()| assert_detached(state, vdi)))?;
    let marks = vec![
        Mark::new(Cls::Sr, &sr, "vdi_destroy"),
        Mark::new(Cls::Vdi, vdi, "destroy"),
    ];
    let running = ops::exclusive(ctx, marks, ops::STANDARD).await?;
    ctx.with(|state| sr::assert_attached(&state.db, &sr).and_then(|()| assert_detached(state, vdi)))?;
    ctx.insist(ctx.pool.latencies.vdi_destroy_ms).await;
    let (bytes, base) = ctx.with(|state| {
        let bytes = state
            .db
            .get(Cls::Vdi, vdi, "physical_utilisation")
            .map_or(0, Value::as_int);
        let base = parent(state, vdi)
            .and_then(|uuid| state.db.by_uuid(Cls::Vdi, uuid))
            .cloned();
        remove_row(state, vdi);
        (bytes, base)
    });
    drop(running);
    sr::release_later(ctx, &sr, bytes, base);
    Ok(())
}

async fn resize(ctx: &Context, vdi: &Ref, size: i64) -> Outcome<()> {
    let source = ctx.with(|state| assert_usable(state, vdi))?;
    let sr = source.reference("SR");
    if size < source.int("virtual_size") {
        let text = format!("VDI Invalid size [opterr=shrinking not allowed: {size}]");
        return Err(Failure::new("SR_BACKEND_FAILURE_79", ["", &text, ""]));
    }
    ctx.with(|state| sr::assert_writable(&state.db, &sr).and_then(|()| assert_detached(state, vdi)))?;
    let marks = vec![
        Mark::new(Cls::Sr, &sr, "vdi_resize"),
        Mark::new(Cls::Vdi, vdi, "resize"),
    ];
    let _running = ops::exclusive(ctx, marks, ops::STANDARD).await?;
    let grown = size - source.int("virtual_size");
    let thick = ctx.with(|state| {
        sr::assert_attached(&state.db, &sr)?;
        let thick = sr::is_thick(state.db.record(Cls::Sr, &sr)?);
        sr::assert_space(state, &sr, if thick { grown } else { 0 }).map(|()| thick)
    })?;
    ctx.spend(ctx.pool.latencies.vdi_resize_ms).await?;
    ctx.with(|state| {
        state.db.set(Cls::Vdi, vdi, "virtual_size", Value::Int(size))?;
        if thick {
            let bytes = state.db.get(Cls::Vdi, vdi, "physical_utilisation")?.as_int() + grown;
            state.db.set(Cls::Vdi, vdi, "physical_utilisation", Value::Int(bytes))?;
            sr::take(state, &sr, grown);
        }
        sr::report(state, &sr);
        Ok(())
    })
}

fn forget(state: &mut State, vdi: &Ref) -> Outcome<()> {
    state.db.record(Cls::Vdi, vdi)?;
    assert_detached(state, vdi)?;
    remove_row(state, vdi);
    Ok(())
}

/// Makes an empty disk of a size, as xapi itself does.
pub(crate) async fn create_plain(ctx: &Context, sr: &Ref, size: i64) -> Outcome<Ref> {
    let argument = Value::Map(
        [
            ("SR", Value::from(sr)),
            ("virtual_size", Value::Int(size)),
            ("type", Value::str("user")),
            ("sharable", Value::Bool(false)),
            ("read_only", Value::Bool(false)),
            ("other_config", crate::class::no_map()),
        ]
        .into_iter()
        .map(|(k, v)| (k.into(), v))
        .collect(),
    );
    create(ctx, &argument).await
}

/// Removes a disk at once, with its space.
pub(crate) fn drop_now(state: &mut State, vdi: &Ref) {
    let Ok(record) = state.db.record(Cls::Vdi, vdi).cloned() else {
        return;
    };
    let home = record.reference("SR");
    let base = parent(state, vdi)
        .and_then(|uuid| state.db.by_uuid(Cls::Vdi, uuid))
        .cloned();
    remove_row(state, vdi);
    sr::take(state, &home, -record.int("physical_utilisation"));
    if let Some(base) = base {
        collect_base(state, &base);
    }
    sr::report(state, &home);
}
