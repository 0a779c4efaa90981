//! Asynchronous calls: started, awaited by events, tidied up.
//!
//! A task may vanish before its end is seen (finished ones are collected, a restart forgets all): then the outcome is open and the
//! caller looks at the object. Only the status counts, progress may run ahead of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{Interest, Notice};
use crate::failure::Failure;
use crate::pool::Pool;
use crate::record::{Task, TaskRecord, TaskStatus};
use crate::reference::Ref;
use crate::retry::Caller;
use crate::transport::{Call, Repeat};
use crate::wire::{FromWire, Value, read_fragment};

/// The net under the events: a task is read again at least this often.
const REREAD: Duration = Duration::from_secs(10);

/// Starts an asynchronous call and waits for its result. When the future is dropped or the time is up, the task is cancelled.
pub(crate) async fn run<T: FromWire>(
    pool: &Pool,
    method: &'static str,
    object: &str,
    params: Vec<Value>,
    limit: Duration,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    let started = pool
        .value(method, Some(object), params, pool.quick().min(limit), Repeat::Once)
        .await?;
    let running = Running::new(pool, method, object, started)?;
    running.result(pool, method, object, deadline).await
}

/// Waits until the task has ended. Subscribes first and reads then, so that no change falls between.
async fn await_end(pool: &Pool, task: &Ref<Task>) -> Result<TaskRecord, Error> {
    let mut subscription = pool.watcher().subscribe(Interest::object(task));
    loop {
        let record = pool.task().record(task).await?;
        if has_ended(&record) {
            return Ok(record);
        }
        // Until something says that reading again is worth it.
        while let Ok(Notice::Change(change)) = tokio::time::timeout(REREAD, subscription.next()).await {
            match change.of::<Task>() {
                Some((_, Some(record))) if has_ended(record) => return Ok(record.clone()),
                Some((_, Some(_))) => {}
                Some((_, None)) | None => break,
            }
        }
    }
}

fn has_ended(record: &TaskRecord) -> bool {
    match record.status {
        TaskStatus::Success | TaskStatus::Failure | TaskStatus::Cancelled => true,
        TaskStatus::Pending | TaskStatus::Cancelling | TaskStatus::Other(_) => false,
    }
}

/// A task that nobody may leave behind: cancelled unless it has ended, deleted in any case.
pub(crate) struct Running {
    caller: Arc<Caller>,
    task: Ref<Task>,
    quick: Duration,
    has_ended: bool,
}

impl Running {
    /// Takes charge of the task that a call answered with.
    pub(crate) fn new(pool: &Pool, method: &'static str, object: &str, task: Ref<Task>) -> Result<Self, Error> {
        if task.is_null() {
            return Err(pool.malformed(method, Some(object), "it names no task"));
        }
        Ok(Self {
            caller: Arc::clone(pool.caller()),
            task,
            quick: pool.quick(),
            has_ended: false,
        })
    }

    pub(crate) fn task(&self) -> &Ref<Task> {
        &self.task
    }

    /// Waits for the end of the task and gives its result.
    pub(crate) async fn result<T: FromWire>(
        mut self,
        pool: &Pool,
        method: &'static str,
        object: &str,
        deadline: Instant,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let fail = |kind, outcome| Error::new(kind, outcome, pool.name(), method).with_object(Some(object.to_owned()));
        let record = match tokio::time::timeout_at(deadline, await_end(pool, &self.task)).await {
            Ok(Ok(record)) => record,
            Ok(Err(error)) if error.is_gone_object(&self.task) => {
                return Err(fail(ErrorKind::TaskVanished, Outcome::MaybeSent));
            }
            Ok(Err(error)) => return Err(error.with_outcome(Outcome::MaybeSent)),
            Err(_) => return Err(fail(ErrorKind::TimedOut(began.elapsed()), Outcome::MaybeSent)),
        };
        self.has_ended = true;
        let failure = match record.status {
            TaskStatus::Success => {
                return read_fragment(&record.result).map_err(|error| pool.malformed(method, Some(object), error));
            }
            TaskStatus::Cancelled => Failure::new("TASK_CANCELLED", vec![self.task.to_string()]),
            TaskStatus::Failure | TaskStatus::Pending | TaskStatus::Cancelling | TaskStatus::Other(_) => {
                let mut texts = record.error_info.into_iter();
                let code = texts.next().unwrap_or_else(|| "INTERNAL_ERROR".to_owned());
                self.redacted(Failure::new(code, texts.collect())).await
            }
        };
        let outcome = if failure.is_outcome_unknown() {
            Outcome::MaybeSent
        } else {
            Outcome::Rejected
        };
        Err(fail(ErrorKind::Failure(failure), outcome))
    }

    /// A task's failure without the session that ran it: some codes quote what was sent.
    async fn redacted(&self, failure: Failure) -> Failure {
        match self.caller.sessions().get().await {
            Ok(session) => failure.without(session.id.expose()),
            Err(_) => failure,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let methods: &[&'static str] = if self.has_ended {
            &["task.destroy"]
        } else {
            &["task.cancel", "task.destroy"]
        };
        let caller = Arc::clone(&self.caller);
        let (task, quick) = (self.task.clone(), self.quick);
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        self.caller.sessions().tasks().spawn(async move {
            for method in methods {
                let call = Call {
                    method,
                    params: vec![Value::text(task.as_str())],
                    limit: quick,
                    repeat: Repeat::Idempotent,
                    object: Some(task.as_str().to_owned()),
                };
                if let Err(error) = caller.value::<()>(call).await {
                    debug!(error = %error, "task was not tidied up");
                }
            }
        });
    }
}
