//! `pool`: synchronising the database.

use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::Outcome;
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
        "designate_new_master" => {
            let host = args.reference(0);
            crate::toolstack::set_coordinator(&ctx.pool, &host).map(|()| Value::Void)
        }
        _ => return None,
    })
}

/// The pool object's `master`.
pub(crate) fn master(state: &crate::pool::State) -> Ref {
    state
        .db
        .get(Cls::Pool, &state.db.pool(), "master")
        .map_or_else(|_| Ref::null(), Value::as_ref)
}
