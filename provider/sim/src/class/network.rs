//! `network`: create and destroy.

use crate::class::{constructor, member};
use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::Value;

pub(super) fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    Some(match name {
        "create" => ctx.with(|state| create(state, args.get(0))).map(Value::from),
        "destroy" => ctx
            .with(|state| destroy(state, &args.reference(0)))
            .map(|()| Value::Void),
        _ => return None,
    })
}

fn create(state: &mut State, argument: &Value) -> Outcome<Ref> {
    let mut fields = constructor(Cls::Network, argument)?;
    let network = state.random.reference();
    let uuid = state.random.uuid();
    if member(&fields, "bridge").as_str().is_empty() {
        let used: Vec<&str> = state.db.all(Cls::Network).map(|(_, r)| r.str("bridge")).collect();
        let bridge = (0..).map(|n| format!("xapi{n}")).find(|b| !used.contains(&b.as_str()));
        fields.push(("bridge", Value::from(bridge.unwrap_or_default())));
    }
    fields.push(("uuid", Value::from(uuid)));
    state.db.create(Cls::Network, &network, fields);
    Ok(network)
}

fn destroy(state: &mut State, network: &Ref) -> Outcome<()> {
    let record = state.db.record(Cls::Network, network)?;
    if let Some(pif) = record.refs("PIFs").first() {
        return Err(Failure::new("NETWORK_CONTAINS_PIF", [pif.as_str()]));
    }
    let attached = |vif: &Ref| {
        state
            .db
            .get(Cls::Vif, vif, "currently_attached")
            .is_ok_and(Value::as_bool)
    };
    if let Some(vif) = record.refs("VIFs").iter().find(|vif| attached(vif)) {
        return Err(Failure::new("NETWORK_CONTAINS_VIF", [vif.as_str()]));
    }
    state.db.delete(Cls::Network, network);
    Ok(())
}
