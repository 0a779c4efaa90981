//! From a request to its outcome: names, sessions, roles, parameters, tasks, and the method itself.

mod implicit;
mod names;
mod task_row;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::class;
use crate::context::Context;
use crate::db::Ref;
use crate::failure::{Failure, Outcome};
use crate::pool::Pool;
use crate::rbac;
use crate::schema::{Message, Type};
use crate::session::{self, Session};
use crate::value::Value;

pub(crate) use names::Call;

/// Parameters after the session, brought to their types.
#[derive(Clone, Debug)]
pub(crate) struct Args(Vec<Value>);

static VOID: Value = Value::Void;

impl Args {
    pub(crate) fn get(&self, index: usize) -> &Value {
        self.0.get(index).unwrap_or(&VOID)
    }

    pub(crate) fn reference(&self, index: usize) -> Ref {
        self.get(index).as_ref()
    }

    pub(crate) fn str(&self, index: usize) -> &str {
        self.get(index).as_str()
    }

    pub(crate) fn int(&self, index: usize) -> i64 {
        self.get(index).as_int()
    }

    pub(crate) fn bool(&self, index: usize) -> bool {
        self.get(index).as_bool()
    }
}

/// What a call comes to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome<Value>,
    /// Sent without Status in XML.
    pub(crate) bare: bool,
}

impl From<Outcome<Value>> for Answer {
    fn from(outcome: Outcome<Value>) -> Self {
        Self { outcome, bare: false }
    }
}

/// Serves a call that arrived at a host.
pub(crate) async fn serve(pool: &Arc<Pool>, host: usize, method: &str, params: Vec<Value>) -> Answer {
    if method == "system.listMethods" {
        return Answer {
            outcome: Ok(Value::strings(names::all())),
            bare: true,
        };
    }
    let Some(call) = names::parse(method) else {
        return Err(Failure::new("MESSAGE_METHOD_UNKNOWN", [method])).into();
    };
    if call.message.removed {
        return Err(Failure::new("MESSAGE_REMOVED", [])).into();
    }
    let (coordinator, address) = pool.coordinator();
    if coordinator != host && call.name != "slave_local_login_with_password" {
        return Err(Failure::new("HOST_IS_SLAVE", [&address])).into();
    }
    dispatch(pool, &call, params).await.into()
}

async fn dispatch(pool: &Arc<Pool>, call: &Call, params: Vec<Value>) -> Outcome<Value> {
    check_count(call, params.len())?;
    if !call.message.takes_session {
        let args = accept(call, 0, params)?;
        return class::without_session(pool, call, &args).await;
    }
    let session_ref = params.first().map_or_else(Ref::null, Value::as_ref);
    let session = pool.with(|state| session::check(state, &session_ref))?;
    check_role(&session, call)?;
    if call.is_async && !names::has_async(call) {
        let text = format!("No async mode for this operation (rpc: {})", call.full_name());
        return Err(Failure::new("Fault", [&text]));
    }
    let args = accept(call, 1, params)?;
    let ctx = Context {
        pool: pool.clone(),
        session: session_ref,
        task: Ref::null(),
        cancelled: CancellationToken::new(),
        ended: session.ended.clone(),
    };
    if names::has_async(call) {
        task_row::run(ctx, call, args).await
    } else {
        execute(&ctx, call, &args).await
    }
}

/// Runs the method: one with behaviour, or one that follows from the model.
async fn execute(ctx: &Context, call: &Call, args: &Args) -> Outcome<Value> {
    match class::call(ctx, call, args).await {
        Some(outcome) => outcome,
        None => ctx.with(|state| implicit::call(state, call, args)),
    }
}

fn check_role(session: &Session, call: &Call) -> Outcome<()> {
    if session.is_superuser || session.role.allows(call.message) {
        return Ok(());
    }
    let permission = rbac::permission(call.cls, &call.name);
    let text = "No permission in user session";
    Err(Failure::new("RBAC_PERMISSION_DENIED", [&permission, text]))
}

fn check_count(call: &Call, received: usize) -> Outcome<()> {
    let most = call.message.params.len();
    let least = most - names::optional(call);
    if (least..=most).contains(&received) {
        return Ok(());
    }
    let expected = if received < least { least } else { most };
    let params = [&call.full_name(), &*expected.to_string(), &*received.to_string()];
    Err(Failure::new("MESSAGE_PARAMETER_COUNT_MISMATCH", params))
}

fn accept(call: &Call, skip: usize, params: Vec<Value>) -> Outcome<Args> {
    let Message { params: declared, .. } = call.message;
    let mut args = Vec::with_capacity(declared.len());
    let mut given = params.into_iter().skip(skip);
    for (name, ty) in declared.iter().skip(skip) {
        let value = match given.next() {
            Some(value) => typed(ty, name, value)?,
            None => names::default(name, ty),
        };
        args.push(value);
    }
    Ok(Args(args))
}

fn typed(ty: &Type, name: &str, value: Value) -> Outcome<Value> {
    ty.accept(value)
        .ok_or_else(|| Failure::internal(&format!("Failure(\"unexpected type of parameter {name}\")")))
}
