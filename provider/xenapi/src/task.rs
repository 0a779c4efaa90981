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
use crate::transport::{Call, Repeat, Whole};
use crate::wire::{Shape, Value, read_fragment};

/// The net under the events: a task is read again at least this often.
const REREAD: Duration = Duration::from_secs(10);

/// Starts an asynchronous call and waits for its result. When the future is dropped or the time is up, the task is cancelled.
pub(crate) async fn run(
    pool: &Pool,
    method: &'static str,
    object: &str,
    params: Vec<Value>,
    limit: Duration,
) -> Result<Value, Error> {
    let deadline = Instant::now() + limit;
    let started = pool
        .value(method, Some(object), params, pool.quick().min(limit), Repeat::Once)
        .await?;
    let task: Ref<Task> = match started {
        Value::Text(text) if !Ref::<Task>::new(&text).is_null() => Ref::new(&text),
        Value::Text(_)
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Time(_)
        | Value::Array(_)
        | Value::Struct(_) => {
            return Err(pool.malformed(method, Some(object), "it names no task"));
        }
    };
    let mut guard = Running {
        caller: Arc::clone(pool.caller()),
        task: task.clone(),
        quick: pool.quick(),
        has_ended: false,
    };
    let fail = |kind, outcome| Error::new(kind, outcome, pool.name(), method).with_object(Some(object.to_owned()));
    let record = match tokio::time::timeout_at(deadline, await_end(pool, &task)).await {
        Ok(Ok(record)) => record,
        Ok(Err(error)) if error.is_gone_object(&task) => return Err(fail(ErrorKind::TaskVanished, Outcome::MaybeSent)),
        Ok(Err(error)) => return Err(error.with_outcome(Outcome::MaybeSent)),
        Err(_) => return Err(fail(ErrorKind::TimedOut(limit), Outcome::MaybeSent)),
    };
    guard.has_ended = true;
    match record.status {
        TaskStatus::Success => {
            read_fragment(&record.result).map_err(|error| pool.malformed(method, Some(object), error))
        }
        TaskStatus::Failure | TaskStatus::Pending | TaskStatus::Cancelling | TaskStatus::Other(_) => {
            let mut texts = record.error_info.into_iter();
            let code = texts.next().unwrap_or_else(|| "INTERNAL_ERROR".to_owned());
            let failure = Failure::new(code, texts.collect());
            let outcome = if failure.is_outcome_unknown() {
                Outcome::MaybeSent
            } else {
                Outcome::Rejected
            };
            Err(fail(ErrorKind::Failure(failure), outcome))
        }
        TaskStatus::Cancelled => {
            let failure = Failure::new("TASK_CANCELLED", vec![task.to_string()]);
            Err(fail(ErrorKind::Failure(failure), Outcome::Rejected))
        }
    }
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
struct Running {
    caller: Arc<Caller>,
    task: Ref<Task>,
    quick: Duration,
    has_ended: bool,
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
                    shape: Shape::Value,
                    limit: quick,
                    repeat: Repeat::Idempotent,
                    object: Some(task.as_str().to_owned()),
                };
                if let Err(error) = caller.call(call, &mut Whole).await {
                    debug!(error = %error, "task was not tidied up");
                }
            }
        });
    }
}
