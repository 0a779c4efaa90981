//! `message`: what the pool tells people. Messages have a generation of their own and are no database rows to others.

use crate::context::Context;
use crate::db::{Cls, Ref};
use crate::failure::Outcome;
use crate::pool::State;
use crate::rpc::Args;
use crate::value::{Map, Value};

pub(super) fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    ctx.with(|state| match name {
        "create" => {
            let made = post(state, args.str(0), args.int(1), (args.str(2), args.str(3)), args.str(4));
            Some(Ok(Value::from(made)))
        }
        "destroy" => {
            let message = args.reference(0);
            let found = state.db.record(Cls::Message, &message).map(|_| ());
            state.db.delete(Cls::Message, &message);
            Some(found.map(|()| Value::Void))
        }
        "destroy_many" => {
            for message in args.get(0).refs() {
                state.db.delete(Cls::Message, &message);
            }
            Some(Ok(Value::Void))
        }
        "get_since" => Some(Ok(since(state, args.get(0).as_int(), |_| true))),
        "get" => {
            let (cls, uuid) = (args.str(0).to_owned(), args.str(1).to_owned());
            let of = |r: &crate::db::Record| r.str("cls") == cls && r.str("obj_uuid") == uuid;
            Some(Ok(since(state, args.get(2).as_int(), of)))
        }
        _ => None,
    })
}

fn since(state: &State, from: i64, keep: impl Fn(&crate::db::Record) -> bool) -> Value {
    let rows = state
        .db
        .all(Cls::Message)
        .filter(|(_, r)| r.int("timestamp") > from && keep(r));
    Value::Map(
        rows.map(|(m, r)| (m.to_arc(), Value::Record(r.clone())))
            .collect::<Map>(),
    )
}

/// Adds a message about an object, given by class and UUID.
pub(crate) fn post(state: &mut State, name: &str, priority: i64, about: (&str, &str), body: &str) -> Ref {
    let reference = state.random.reference();
    let uuid = state.random.uuid();
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("name", Value::str(name)),
        ("priority", Value::Int(priority)),
        ("cls", Value::str(about.0)),
        ("obj_uuid", Value::str(about.1)),
        ("timestamp", Value::Time(state.wall)),
        ("body", Value::str(body)),
    ];
    state.db.create(Cls::Message, &reference, fields);
    reference
}

/// Adds the message that ends an operation on a VM.
pub(crate) fn about_vm(state: &mut State, vm: &Ref, name: &str) {
    let Ok(record) = state.db.record(Cls::Vm, vm).cloned() else {
        return;
    };
    let body = format!(
        "VM '{}' {}",
        record.str("name_label"),
        name.trim_start_matches("VM_").to_lowercase()
    );
    post(state, name, 5, ("VM", record.str("uuid")), &body);
}
