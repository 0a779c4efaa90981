//! `SR`: space, attachment, scan.

use crate::class::vdi;
use crate::clock::Pace;
use crate::context::Context;
use crate::db::{Cls, Db, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::ops::{self, Mark};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let sr = args.reference(0);
    Some(match name {
        "scan" | "update" => scan(ctx, &sr).await.map(|()| Value::Void),
        "get_supported_types" => Ok(Value::strings(["ext", "iso", "lvm", "lvmoiscsi", "nfs", "udev"])),
        "set_name_label" | "set_name_description" | "set_shared" => return None,
        "forget" => ctx.with(|state| forget(state, &sr)).map(|()| Value::Void),
        _ => return None,
    })
}

async fn scan(ctx: &Context, sr: &Ref) -> Outcome<()> {
    ctx.with(|state| state.db.record(Cls::Sr, sr).map(|_| ()))?;
    let _running = ops::exclusive(ctx, vec![Mark::new(Cls::Sr, sr, "scan")], ops::STANDARD).await?;
    ctx.with(|state| assert_attached(&state.db, sr))?;
    ctx.spend(ctx.pool.latencies.sr_scan_ms).await?;
    ctx.with(|state| report(state, sr));
    Ok(())
}

fn forget(state: &mut State, sr: &Ref) -> Outcome<()> {
    let record = state.db.record(Cls::Sr, sr)?.clone();
    let pbds = record.refs("PBDs");
    if pbds.iter().any(|pbd| {
        state
            .db
            .get(Cls::Pbd, pbd, "currently_attached")
            .is_ok_and(Value::as_bool)
    }) {
        return Err(Failure::new("SR_HAS_PBD", [sr.as_str()]));
    }
    for vdi in record.refs("VDIs") {
        vdi::remove_row(state, &vdi);
    }
    for pbd in pbds {
        state.db.delete(Cls::Pbd, &pbd);
    }
    state.db.delete(Cls::Sr, sr);
    Ok(())
}

/// Whether disks use their full size at once.
pub(crate) fn is_thick(record: &Record) -> bool {
    record.str("type").starts_with("lvm")
}

/// Fails unless some host has the SR plugged.
pub(crate) fn assert_attached(db: &Db, sr: &Ref) -> Outcome<()> {
    let pbds = db.get(Cls::Sr, sr, "PBDs")?.refs();
    if pbds.is_empty() {
        return Err(Failure::new("SR_HAS_NO_PBDS", [sr.as_str()]));
    }
    let plugged = pbds
        .iter()
        .any(|pbd| db.get(Cls::Pbd, pbd, "currently_attached").is_ok_and(Value::as_bool));
    if plugged {
        Ok(())
    } else {
        Err(Failure::new("SR_NOT_ATTACHED", [sr.as_str()]))
    }
}

/// Fails for SRs on which no disk can be made.
pub(crate) fn assert_writable(db: &Db, sr: &Ref) -> Outcome<()> {
    let record = db.record(Cls::Sr, sr)?;
    let is_fixed = matches!(record.str("type"), "iso" | "udev") || record.bool("is_tools_sr");
    if is_fixed {
        Err(Failure::new("SR_OPERATION_NOT_SUPPORTED", [sr.as_str()]))
    } else {
        Ok(())
    }
}

/// Whether a host sees the SR.
pub(crate) fn is_seen_by(db: &Db, sr: &Ref, host: &Ref) -> bool {
    let pbds = db.get(Cls::Sr, sr, "PBDs").map(Value::refs).unwrap_or_default();
    pbds.iter()
        .filter_map(|pbd| db.record(Cls::Pbd, pbd).ok())
        .any(|pbd| pbd.bool("currently_attached") && pbd.reference("host") == *host)
}

/// Fails as the backend does when there is not so much space.
pub(crate) fn assert_space(state: &State, sr: &Ref, bytes: i64) -> Outcome<()> {
    let size = state.db.get(Cls::Sr, sr, "physical_size")?.as_int();
    let used = state.used.get(sr).copied().unwrap_or(0);
    if used.saturating_add(bytes) <= size {
        return Ok(());
    }
    Err(Failure::new(
        "SR_BACKEND_FAILURE_44",
        ["", "There is insufficient space", ""],
    ))
}

/// Takes space at once; the fields follow with the backend's next report.
pub(crate) fn take(state: &mut State, sr: &Ref, bytes: i64) {
    *state.used.entry(sr.clone()).or_default() += bytes;
}

/// Writes what the backend knows about space into the SR's fields.
pub(crate) fn report(state: &mut State, sr: &Ref) {
    let used = state.used.get(sr).copied().unwrap_or(0);
    let vdis = state.db.get(Cls::Sr, sr, "VDIs").map(Value::refs).unwrap_or_default();
    let size = |vdi: &Ref| state.db.get(Cls::Vdi, vdi, "virtual_size").map_or(0, Value::as_int);
    let virtual_allocation: i64 = vdis.iter().map(size).sum();
    state.db.set_if(Cls::Sr, sr, "physical_utilisation", Value::Int(used));
    state
        .db
        .set_if(Cls::Sr, sr, "virtual_allocation", Value::Int(virtual_allocation));
    operations::refresh(&mut state.db, Cls::Sr, sr);
}

/// Gives space back after a while, as the garbage collector of the backend does.
pub(crate) fn release_later(ctx: &Context, sr: &Ref, bytes: i64, base: Option<Ref>) {
    let (pool, sr) = (ctx.pool.clone(), sr.clone());
    let time = pool.pick(pool.latencies.sr_gc_ms);
    let worker = pool.clone();
    pool.background(async move {
        worker.clock.sleep(time, Pace::Idle).await;
        worker.with(|state| {
            take(state, &sr, -bytes);
            if let Some(base) = base {
                vdi::collect_base(state, &base);
            }
            report(state, &sr);
        });
    });
}
