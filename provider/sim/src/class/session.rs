//! `session`: logout.

use crate::context::Context;
use crate::failure::Outcome;
use crate::session::close;
use crate::value::Value;

pub(super) fn call(ctx: &Context, name: &str) -> Option<Outcome<Value>> {
    match name {
        "logout" | "local_logout" => {
            ctx.with(|state| close(state, &ctx.session));
            Some(Ok(Value::Void))
        }
        _ => None,
    }
}
