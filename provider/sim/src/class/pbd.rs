//! `PBD`: plug and unplug, which decide which hosts see an SR.

use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(super) fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let pbd = args.reference(0);
    let outcome = match name {
        "plug" => ctx.with(|state| plug(state, &pbd, true)),
        "unplug" => ctx.with(|state| plug(state, &pbd, false)),
        _ => return None,
    };
    Some(outcome.map(|()| Value::Void))
}

fn plug(state: &mut State, pbd: &Ref, attach: bool) -> Outcome<()> {
    let record = state.db.record(Cls::Pbd, pbd)?.clone();
    let sr = record.reference("SR");
    if !attach {
        let vdis = state.db.get(Cls::Sr, &sr, "VDIs")?.refs();
        let here = |vm: &Ref| {
            state
                .db
                .get(Cls::Vm, vm, "resident_on")
                .is_ok_and(|h| *h == *record.get("host"))
        };
        for vbd in vdis
            .iter()
            .filter_map(|vdi| state.db.get(Cls::Vdi, vdi, "VBDs").ok())
            .flat_map(Value::refs)
        {
            let Ok(vbd) = state.db.record(Cls::Vbd, &vbd) else {
                continue;
            };
            if vbd.bool("currently_attached") && here(&vbd.reference("VM")) {
                return Err(Failure::new("VDI_IN_USE", [vbd.str("VDI"), "PBD.unplug"]));
            }
        }
    }
    state.db.set(Cls::Pbd, pbd, "currently_attached", Value::Bool(attach))?;
    operations::refresh(&mut state.db, Cls::Sr, &sr);
    Ok(())
}
