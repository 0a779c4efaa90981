//! Calls that have a task: in the background for `Async.`, or while the caller waits.

use tokio_util::sync::CancellationToken;

use super::{Args, Call, execute};
use crate::class::task;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::value::Value;

/// Runs a method under a task row: returns the row at once, or the method's outcome.
pub(super) async fn run(mut ctx: Context, call: &Call, args: Args) -> Outcome<Value> {
    let name = if call.is_async {
        format!("Async.{}", call.full_name())
    } else {
        call.full_name()
    };
    ctx.cancelled = CancellationToken::new();
    let (task, epoch) = ctx.with(|state| {
        let task = task::create(state, &name, "");
        state.cancels.insert(task.clone(), ctx.cancelled.clone());
        (task, state.epoch.clone())
    });
    ctx.task = task;
    if !call.is_async {
        let outcome = tokio::select! {
            biased;
            () = epoch.cancelled() => Err(lost()),
            outcome = execute(&ctx, call, &args) => outcome,
        };
        ctx.with(|state| task::drop_row(state, &ctx.task));
        return outcome;
    }
    let answer = Value::from(&ctx.task);
    let call = call.clone();
    let pool = ctx.pool.clone();
    pool.background(async move {
        tokio::select! {
            // A restart that came first must win even if the wait has ended since.
            biased;
            () = epoch.cancelled() => {}
            outcome = execute(&ctx, &call, &args) => {
                ctx.with(|state| task::complete(state, &ctx.task, &outcome));
            }
        }
    });
    Ok(answer)
}

/// Never sent: the connection is cut at the same moment.
fn lost() -> Failure {
    Failure::internal("the toolstack was restarted")
}
