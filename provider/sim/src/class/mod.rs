//! Behaviour of the classes, one file each. Methods not named here follow from the data model.

pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod message;
pub(crate) mod network;
pub(crate) mod pbd;
pub(crate) mod pool;
pub(crate) mod session;
pub(crate) mod sr;
pub(crate) mod task;
pub(crate) mod vbd;
pub(crate) mod vdi;
pub(crate) mod vif;
pub(crate) mod vm;

use std::sync::Arc;

use crate::context::Context;
use crate::db::Cls;
use crate::failure::{Failure, Outcome};
use crate::pool::Pool;
use crate::rpc::{Args, Call};
use crate::schema::Schema;
use crate::value::{Map, Value};

/// Serves a method that needs no session.
pub(crate) async fn without_session(pool: &Arc<Pool>, call: &Call, args: &Args) -> Outcome<Value> {
    match (call.cls, call.name.as_str()) {
        (Cls::Session, "login_with_password") => {
            crate::session::login(pool, args.str(0), args.str(1), args.str(3)).await
        }
        (Cls::Session, "slave_local_login_with_password") => {
            crate::session::login(pool, args.str(0), args.str(1), "").await
        }
        _ => Err(Failure::new("NOT_IMPLEMENTED", [&call.full_name()])),
    }
}

/// Serves a method that has behaviour; `None` leaves it to the data model.
pub(crate) async fn call(ctx: &Context, call: &Call, args: &Args) -> Option<Outcome<Value>> {
    let name = call.name.as_str();
    match call.cls {
        Cls::Session => session::call(ctx, name),
        Cls::Task => task::call(ctx, name, args),
        Cls::Event => event::call(ctx, name, args).await,
        Cls::Pool => pool::call(ctx, name, args).await,
        Cls::Vm => vm::call(ctx, name, args).await,
        Cls::Host => host::call(ctx, name, args).await,
        Cls::Network => network::call(ctx, name, args),
        Cls::Vif => vif::call(ctx, name, args).await,
        Cls::Sr => sr::call(ctx, name, args).await,
        Cls::Vdi => vdi::call(ctx, name, args).await,
        Cls::Vbd => vbd::call(ctx, name, args).await,
        Cls::Pbd => pbd::call(ctx, name, args),
        Cls::Message => message::call(ctx, name, args),
        Cls::VmMetrics
        | Cls::VmGuestMetrics
        | Cls::VmAppliance
        | Cls::HostMetrics
        | Cls::HostCpu
        | Cls::VifMetrics
        | Cls::Pif
        | Cls::PifMetrics
        | Cls::Sm
        | Cls::VbdMetrics
        | Cls::Console
        | Cls::Blob => None,
    }
}

/// Reads a constructor's argument: members brought to their types, defaults for those left out.
pub(crate) fn constructor(cls: Cls, argument: &Value) -> Outcome<Vec<(&'static str, Value)>> {
    let Value::Map(given) = argument else {
        return Err(Failure::internal("Failure(\"args is not a struct\")"));
    };
    let mut fields = Vec::new();
    for member in &Schema::get().class(cls).constructor {
        match given.get(member.name.as_str()) {
            Some(value) => {
                let typed = member.ty.accept(value.clone());
                let wrong = || Failure::internal(&format!("Failure(\"unexpected type of {}\")", member.name));
                fields.push((member.name.as_str(), typed.ok_or_else(wrong)?));
            }
            None if member.required => {
                let text = format!("Xapi_stdext_pervasives.Dispatcher_FieldNotFound(\"{}\")", member.name);
                return Err(Failure::internal(&text));
            }
            None => {}
        }
    }
    Ok(fields)
}

/// A member of a constructor's fields.
pub(crate) fn member<'a>(fields: &'a [(&'static str, Value)], name: &str) -> &'a Value {
    static NONE: Value = Value::Void;
    fields.iter().find(|(n, _)| *n == name).map_or(&NONE, |(_, v)| v)
}

/// An empty map.
pub(crate) fn no_map() -> Value {
    Value::Map(Map::new())
}
