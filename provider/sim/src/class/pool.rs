//! `pool`: synchronising the database, high availability as far as it is a flag: nothing is started again.

use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::Outcome;
use crate::pool::State;
use crate::rpc::Args;
use crate::value::{Map, Value};

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    let text = |key: &str, value: &str| (std::sync::Arc::from(key), Value::str(value));
    Some(match name {
        "sync_database" => {
            ctx.insist(ctx.pool.latencies.sync_database_ms).await;
            Ok(Value::Void)
        }
        "ha_compute_max_host_failures_to_tolerate" => Ok(Value::Int(0)),
        "get_license_state" => {
            let found = ctx.with(|state| state.db.record(Cls::Pool, &args.reference(0)).map(|_| ()));
            found.map(|()| Value::Map(Map::from([text("edition", "xcp-ng"), text("expiry", "never")])))
        }
        "enable_ha" => ctx.with(|state| set_ha(state, true)),
        "disable_ha" => ctx.with(|state| set_ha(state, false)),
        "designate_new_master" => {
            let host = args.reference(0);
            crate::toolstack::set_coordinator(&ctx.pool, &host).map(|()| Value::Void)
        }
        _ => return None,
    })
}

fn set_ha(state: &mut State, enabled: bool) -> Outcome<Value> {
    let pool = state.db.pool();
    let set = state.db.set(Cls::Pool, &pool, "ha_enabled", Value::Bool(enabled));
    set.map(|()| Value::Void)
}

/// The pool object's `master`.
pub(crate) fn master(state: &State) -> Ref {
    state
        .db
        .get(Cls::Pool, &state.db.pool(), "master")
        .map_or_else(|_| Ref::null(), Value::as_ref)
}
