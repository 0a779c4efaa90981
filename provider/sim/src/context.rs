//! What a call knows about itself while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Pace;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::pool::{Pool, State};
use crate::value::Value;
use crate::world::Span;

/// A call under way.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) pool: Arc<Pool>,
    /// The session's reference; null for work of the pool itself.
    pub(crate) session: Ref,
    /// The task that names the call in `current_operations`.
    pub(crate) task: Ref,
    pub(crate) cancelled: CancellationToken,
    /// Ends with the session.
    pub(crate) ended: CancellationToken,
}

impl Context {
    /// Works on the state.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.pool.with(work)
    }

    /// Spends time that `task.cancel` cuts short.
    pub(crate) async fn spend(&self, span: Span) -> Outcome<()> {
        self.spend_exactly(self.pool.pick(span)).await
    }

    /// Spends time that `task.cancel` cuts short.
    pub(crate) async fn spend_exactly(&self, time: Duration) -> Outcome<()> {
        if self.cancelled.is_cancelled() {
            return Err(self.cancellation());
        }
        tokio::select! {
            () = self.pool.clock.sleep(time, Pace::Work) => Ok(()),
            () = self.cancelled.cancelled() => Err(self.cancellation()),
        }
    }

    /// Spends time that nothing cuts short.
    pub(crate) async fn insist(&self, span: Span) {
        self.pool.pause(span).await;
    }

    pub(crate) fn cancellation(&self) -> Failure {
        Failure::new("TASK_CANCELLED", [self.task.as_str()])
    }

    /// Shows how far the call is.
    pub(crate) fn progress(&self, part: f64) {
        self.with(|state| state.db.set_if(Cls::Task, &self.task, "progress", Value::Float(part)));
    }

    /// A call inside this one, with a task of its own below it, as xapi's internal asynchronous calls are.
    pub(crate) fn work_of(pool: &Arc<Pool>, task: Ref) -> Self {
        Self {
            pool: pool.clone(),
            session: Ref::null(),
            task,
            cancelled: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }
}
